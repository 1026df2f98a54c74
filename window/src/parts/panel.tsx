import type { ComponentChildren } from "preact";
import { Guard } from "./guard.tsx";

/** A part of a room with a title. */
export function Panel(props: {
  readonly title: string;
  readonly class?: string;
  /** What stands beside the title. */
  readonly tools?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <section class={`panel ${props.class ?? ""}`} aria-label={props.title}>
      <header class="panel-head">
        <h2>{props.title}</h2>
        {props.tools}
      </header>
      <div class="panel-body">
        <Guard>{props.children}</Guard>
      </div>
    </section>
  );
}
