import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { bindings } from "../keys.ts";

const isShown = signal(false);
const NAMES: Readonly<Record<string, string>> = { " ": "Space" };

/** Show the keys, or hide them. */
export function toggleHelp(): void {
  isShown.value = !isShown.value;
}

/** The keys that are bound now. */
export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const shown = isShown.value;
  useEffect(() => {
    if (shown) dialog.current?.showModal();
    else dialog.current?.close();
  }, [shown]);
  const latest = new Map(bindings.value.map((each) => [each.key, each.label]));
  return (
    <dialog
      ref={dialog}
      class="help"
      aria-label="Keys"
      onClose={() => {
        isShown.value = false;
      }}
    >
      <h2>Keys</h2>
      <dl>
        {[...latest].map(([key, label]) => (
          <div key={key}>
            <dt>
              <kbd>{NAMES[key] ?? key}</kbd>
            </dt>
            <dd>{label}</dd>
          </div>
        ))}
      </dl>
      <p class="quiet">The address of the page names what it shows: send it to share the view.</p>
      <button type="button" onClick={toggleHelp}>
        Close
      </button>
    </dialog>
  );
}
