/** State that changes with the market is drawn at most once per frame of the screen. */
import { type ReadonlySignal, signal } from "@preact/signals";

const waiting = new Set<() => void>();
let isScheduled = false;

/** Call `callback` once before the next frame, however often it is asked for until then. */
export function onNextFrame(callback: () => void): void {
  waiting.add(callback);
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    const due = [...waiting];
    waiting.clear();
    for (const each of due) {
      try {
        each();
      } catch (error) {
        reportError(error);
      }
    }
  });
}

/** State in plain fields; those who draw it follow its `version`. */
export class Store {
  readonly #version = signal(0);
  readonly #changed = (): void => {
    this.#version.value += 1;
  };

  /** Changes at most once per frame, after the fields have changed. */
  get version(): ReadonlySignal<number> {
    return this.#version;
  }

  /** Tell that fields have changed. */
  protected touch(): void {
    onNextFrame(this.#changed);
  }
}

/** Let the component that calls this be drawn again whenever `store` has changed. */
export function useStore(store: Store): void {
  void store.version.value;
}
