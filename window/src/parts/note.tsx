import type { ComponentChildren } from "preact";

/** A sentence about a state or a problem, with a sign that tells which without colour. */
export function Note(props: {
  readonly kind: "info" | "warning" | "error";
  readonly children: ComponentChildren;
}) {
  const sign = { info: "ℹ", warning: "▲", error: "✕" }[props.kind];
  return (
    <p class={`note note-${props.kind}`} role={props.kind === "error" ? "alert" : "status"}>
      <span aria-hidden="true">{sign}</span> <span>{props.children}</span>
    </p>
  );
}
