/** Keys of the page: what is bound is listed by the help. */
import { signal } from "@preact/signals";

export interface Binding {
  /** The key as `KeyboardEvent.key` has it; several as text where there is no action. */
  readonly key: string;
  /** What it does. */
  readonly label: string;
  /** Undefined where the element that has the focus acts on the key. */
  readonly action: (() => void) | undefined;
}

/** All bindings, the latest last. */
export const bindings = signal<readonly Binding[]>([]);

/** Bind a key; return what takes it back.  The latest binding of a key holds. */
export function bind(key: string, label: string, action: () => void): () => void {
  return list({ key, label, action });
}

/** List keys, such as `← →`, on which an element acts while it has the focus; return what ends that. */
export function explain(keys: string, label: string): () => void {
  return list({ key: keys, label, action: undefined });
}

function list(binding: Binding): () => void {
  bindings.value = [...bindings.value, binding];
  return () => {
    bindings.value = bindings.value.filter((each) => each !== binding);
  };
}

/** Whether a key pressed here belongs to what is edited or chosen, not to the page. */
function isTaken(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  const at = event.target;
  if (!(at instanceof HTMLElement)) return false;
  if (event.key === "Escape") return false;
  if (at.isContentEditable || at.matches("input, textarea, select")) return true;
  return event.key === " " && at.matches("button, a, summary, [role=button], [role=tab]");
}

globalThis.addEventListener?.("keydown", (event) => {
  if (event.defaultPrevented || isTaken(event)) return;
  const action = bindings.value.findLast((each) => each.key === event.key)?.action;
  if (action === undefined) return;
  event.preventDefault();
  action();
});
