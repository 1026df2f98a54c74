import type { Fact } from "./source.ts";

/** Facts as a list of names and values. */
export function Facts(props: { readonly facts: readonly Fact[] }) {
  return (
    <dl class="plant-facts">
      {props.facts.map(({ name, value, hint }) => (
        <div key={name} title={hint}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
