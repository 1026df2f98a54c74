/** How much room there is. */
import { type ReadonlySignal, signal } from "@preact/signals";

export type Width = "wide" | "medium" | "phone";

const current = signal<Width>("wide");

/** Follows the width of the window. */
export const width: ReadonlySignal<Width> = current;

if (globalThis.matchMedia !== undefined) {
  const wide = matchMedia("(min-width: 1200px)");
  const medium = matchMedia("(min-width: 720px)");
  const measure = (): void => {
    current.value = wide.matches ? "wide" : medium.matches ? "medium" : "phone";
  };
  wide.addEventListener("change", measure);
  medium.addEventListener("change", measure);
  measure();
}
