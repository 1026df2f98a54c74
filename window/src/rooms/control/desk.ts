/** Carries out what is asked for, and keeps what came of it: what was done, and what was refused. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { PlantError } from "../../wire/plant.ts";

/** Something that was done. */
export interface Done {
  readonly id: number;
  readonly text: string;
  /** What replaces an earlier line of the same; empty if nothing does. */
  readonly topic: string;
  /** Takes it back. */
  readonly undo?: Undo | undefined;
}

export interface Undo {
  readonly label: string;
  readonly run: () => Promise<unknown>;
}

/** What the server refused. */
export interface Problem {
  /** Empty if it is about no field. */
  readonly field: string;
  readonly message: string;
}

export interface Task<T> {
  /** The form or button that it came from. */
  readonly place: string;
  readonly run: () => Promise<T>;
  /** What was done, in words; nothing is noted if it is empty. */
  readonly said: (answer: T) => string;
  readonly undo?: (answer: T) => Undo | undefined;
  readonly topic?: string;
}

/** What was done that stays listed. */
export const MOST_DONE = 6;

export class Desk {
  readonly #done = signal<readonly Done[]>([]);
  readonly #problems = signal<ReadonlyMap<string, Problem>>(new Map());
  readonly #busy = signal<ReadonlySet<string>>(new Set());
  #count = 0;
  #startedMs = 0;

  /** What was done, the latest first. */
  get done(): ReadonlySignal<readonly Done[]> {
    return this.#done;
  }

  /** Begin anew if it is another server than before: the ids of what was done are not its own. */
  serve(startedMs: number): void {
    if (startedMs === this.#startedMs) return;
    this.#startedMs = startedMs;
    this.#done.value = [];
    this.#problems.value = new Map();
  }

  /** Return what was refused to a form; undefined if nothing was. */
  problem(place: string): Problem | undefined {
    return this.#problems.value.get(place);
  }

  /** Return whether the server has not answered a form yet. */
  isBusy(place: string): boolean {
    return this.#busy.value.has(place);
  }

  /** Forget what was refused to a form: it is being changed. */
  forgive(place: string): void {
    if (!this.#problems.value.has(place)) return;
    const problems = new Map(this.#problems.value);
    problems.delete(place);
    this.#problems.value = problems;
  }

  /** Remove one of those that were done from the list. */
  dismiss(id: number): void {
    this.#done.value = this.#done.value.filter((each) => each.id !== id);
  }

  /**
   * Do something, unless the same place waits for an answer; return whether it was done.
   *
   * What the server refuses is kept as the problem of the place.
   */
  async carryOut<T>(task: Task<T>): Promise<boolean> {
    const { place, topic = "" } = task;
    if (this.isBusy(place)) return false;
    this.#busy.value = new Set([...this.#busy.value, place]);
    try {
      const answer = await task.run();
      this.forgive(place);
      const text = task.said(answer);
      if (text) {
        const done = { id: ++this.#count, text, topic, undo: task.undo?.(answer) };
        const others = this.#done.value.filter((each) => !topic || each.topic !== topic);
        this.#done.value = [done, ...others].slice(0, MOST_DONE);
      }
      return true;
    } catch (error) {
      const { message, field = "" } =
        error instanceof PlantError ? error : { message: String(error) };
      this.#problems.value = new Map(this.#problems.value).set(place, { field, message });
      return false;
    } finally {
      const busy = new Set(this.#busy.value);
      busy.delete(place);
      this.#busy.value = busy;
    }
  }
}

/** The desk of the page. */
export const desk = new Desk();
