/** What happened to the market on demand, and when: it is drawn in the chart. */
import { type ReadonlySignal, signal } from "@preact/signals";

export interface Mark {
  readonly id: string;
  readonly kind: "fault" | "scenario" | "lever" | "clock";
  readonly startMs: number;
  /** Null while it goes on. */
  readonly endMs: number | null;
  readonly text: string;
}

/** All marks, the oldest first. */
export const marks: ReadonlySignal<readonly Mark[]> = signal<readonly Mark[]>([]);
