/** What happened to the market on demand, and when: it is drawn in the chart. */
import { effect, type ReadonlySignal, signal } from "@preact/signals";
import { type Got, poll, server } from "../wire/plant.ts";

export interface Mark {
  readonly id: string;
  readonly kind: "fault" | "scenario" | "lever" | "clock";
  readonly startMs: number;
  /** Null while it goes on. */
  readonly endMs: number | null;
  readonly text: string;
}

type Faults = Got<"/plant/v1/faults">;
type Scenarios = Got<"/plant/v1/scenarios">;
type Levers = Got<"/plant/v1/levers">;
type Clock = Got<"/plant/v1/clock">;

/** Marks that are kept; then the oldest that is over goes. */
export const MOST_MARKS = 500;
const EVERY_MS = 2_000;
/** A jump of the clock that speed and delay do not explain. */
const JUMP_MS = 3_000;

/** Remembers marks: the server forgets what was taken back, and the chart still shows its time. */
export class MarkLog {
  readonly #marks = new Map<string, Mark>();
  #clock: { readonly atMs: number; readonly state: Clock } | undefined;
  #clockMarks = 0;

  /** All marks, the oldest first. */
  get marks(): readonly Mark[] {
    return [...this.#marks.values()].sort((a, b) => a.startMs - b.startMs);
  }

  /** Forget everything: it is another server. */
  clear(): void {
    this.#marks.clear();
    this.#clock = undefined;
  }

  /** Take the rules of faults as they are at a market time. */
  takeFaults(page: Faults, nowMs: number): void {
    const present = page.rules.map(({ id, text, state, opens_ms, ends_ms }): Mark => {
      const isOver = state === "over";
      // One that happens at a moment has no end.
      const endMs = ends_ms ?? (isOver ? opens_ms : null);
      return { id: `fault ${id}`, kind: "fault", startMs: opens_ms, endMs, text: words(text) };
    });
    this.#take("fault", present, nowMs);
  }

  /** Take the levers as they are at a market time. */
  takeLevers(page: Levers, nowMs: number): void {
    const present = page.levers.map((lever): Mark => {
      const { id, market, symbols, since_ms: startMs, until_ms: endMs } = lever;
      const text = [market, ...symbols].join(" ");
      return { id: `lever ${id}`, kind: "lever", startMs, endMs, text };
    });
    this.#take("lever", present, nowMs);
  }

  /** Take the scenarios as they are at a market time. */
  takeScenarios(page: Scenarios, nowMs: number): void {
    const present = page.scenarios.map((scenario): Mark => {
      const { id, title, start_ms: startMs, end_ms, state, stopped } = scenario;
      const key = `scenario ${id}`;
      const before = this.#marks.get(key)?.endMs ?? end_ms;
      // When it was stopped is not told: at the latest when that was seen first.
      const endMs =
        state === "over" && stopped ? Math.max(startMs, Math.min(before, nowMs)) : end_ms;
      return { id: key, kind: "scenario", startMs, endMs, text: title };
    });
    this.#take("scenario", present, nowMs);
  }

  /** Take the clock, read at a time of this machine: pauses and jumps become marks. */
  takeClock(state: Clock, atMs: number): void {
    const before = this.#clock;
    this.#clock = { atMs, state };
    if (before === undefined) return;
    if (state.paused && !before.state.paused) this.#note(state.time_ms, "paused");
    const [was, is] = [positionMs(before.state), positionMs(state)];
    const fastest = Math.max(before.state.speed, state.speed);
    const isUnbounded = before.state.speed === 0 || state.speed === 0;
    const mostMs = isUnbounded ? Number.POSITIVE_INFINITY : (atMs - before.atMs) * fastest * 1.5;
    if (is < was - 1 || is - was > mostMs + JUMP_MS) {
      this.#note(
        state.time_ms,
        `${is < was ? "back" : "forward"} from ${isoTime(before.state.time_ms)}`,
      );
    }
  }

  #note(timeMs: number, text: string): void {
    const id = `clock ${this.#clockMarks++}`;
    this.#set({ id, kind: "clock", startMs: timeMs, endMs: timeMs, text });
  }

  #take(kind: Mark["kind"], present: readonly Mark[], nowMs: number): void {
    const ids = new Set(present.map(({ id }) => id));
    for (const each of this.#marks.values()) {
      const goesOn = each.endMs === null || each.endMs > nowMs;
      if (each.kind === kind && goesOn && !ids.has(each.id)) {
        // It was taken back, also if it had not begun.
        if (each.startMs > nowMs) this.#marks.delete(each.id);
        else this.#set({ ...each, endMs: nowMs });
      }
    }
    for (const each of present) this.#set(each);
  }

  #set(mark: Mark): void {
    this.#marks.set(mark.id, mark);
    for (const each of this.#marks.values()) {
      if (this.#marks.size <= MOST_MARKS) break;
      if (each.endMs !== null) this.#marks.delete(each.id);
    }
  }
}

/** Return `drop=0.1 stream=*@depth` as `drop 0.1, stream *@depth`. */
function words(text: string): string {
  return text
    .split(" ")
    .map((each) => each.replace(/^[^=]*/, (name) => name.replaceAll("_", " ")).replace("=", " "))
    .join(", ");
}

function positionMs(state: Clock): number {
  return "received_ns" in state ? state.received_ns / 1e6 : state.time_ms;
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(11, 19);
}

const log = new MarkLog();
let startedMs = 0;

/** Follow what happens, as long as anybody looks at the marks; return what ends that. */
function follow(): () => void {
  return effect(() => {
    const here = server.value;
    if (here === undefined) return;
    if (here.started_ms !== startedMs) {
      startedMs = here.started_ms;
      log.clear();
    }
    const { faults, scenarios, levers, clock } = here.controls;
    const time = clock ? poll("/plant/v1/clock", EVERY_MS).state.value : undefined;
    const nowMs = time?.data?.time_ms ?? Date.now();
    if (time?.data) log.takeClock(time.data, time.atMs);
    const told = {
      faults: faults ? poll("/plant/v1/faults", EVERY_MS).state.value.data : undefined,
      scenarios: scenarios ? poll("/plant/v1/scenarios", EVERY_MS).state.value.data : undefined,
      levers: levers ? poll("/plant/v1/levers", EVERY_MS).state.value.data : undefined,
    };
    if (told.faults) log.takeFaults(told.faults, nowMs);
    if (told.scenarios) log.takeScenarios(told.scenarios, nowMs);
    if (told.levers) log.takeLevers(told.levers, nowMs);
    all.value = log.marks;
  });
}

let end: (() => void) | undefined;
const all = signal<readonly Mark[]>([], {
  watched: () => {
    end = follow();
  },
  unwatched: () => end?.(),
});

/** All marks, the oldest first. */
export const marks: ReadonlySignal<readonly Mark[]> = all;
