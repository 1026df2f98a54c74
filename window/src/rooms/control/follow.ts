/** The clock of the server, followed while it is shown, and what is asked of it. */
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { plantPost, poll, server } from "../../wire/plant.ts";
import {
  barOf,
  type Clock,
  type ClockState,
  type Coverage,
  clockOf,
  later,
  timeAt,
} from "./clock.ts";
import { desk } from "./desk.ts";

const POLL_MS = 2_000;
const TICK_MS = 250;
/** Above this speed, and on its way somewhere, a clock is asked for more often. */
const FAST = 20;
const COVERAGE_MS = 10_000;

let timer: ReturnType<typeof setInterval> | undefined;
const tick = signal(0, {
  watched: () => {
    timer = setInterval(() => {
      if (document.hidden) return;
      tick.value += 1;
      const state = newest.peek()?.state;
      const isFast = state && (state.pending || state.speed > FAST || state.speed === 0);
      if (isFast && tick.value % 2 === 0) clockPoll().refresh();
      if (coverage.peek()?.complete === false && tick.value % 8 === 0) coveragePoll().refresh();
    }, TICK_MS);
  },
  unwatched: () => clearInterval(timer),
});

const clockPoll = () => poll("/plant/v1/clock", POLL_MS);
const coveragePoll = () => poll("/plant/v1/coverage", COVERAGE_MS);

/** The answer to what was asked last. */
const answered = signal<{ readonly state: ClockState; readonly atMs: number } | undefined>(
  undefined,
);

const newest = computed(() => {
  if (!server.value?.controls.clock) return undefined;
  const { data, atMs } = clockPoll().state.value;
  const own = answered.value;
  if (own !== undefined && (data === undefined || own.atMs > atMs)) return own;
  return data === undefined ? undefined : { state: data, atMs };
});

/** The clock as it should be now; undefined where there is none, or none is known yet. */
export const clock: ReadonlySignal<Clock | undefined> = computed(() => {
  const known = newest.value;
  void tick.value;
  return known && later(clockOf(known.state), Date.now() - known.atMs);
});

/** What the recordings of a replay cover; undefined elsewhere, and until it is known. */
export const coverage: ReadonlySignal<Coverage | undefined> = computed(() => {
  if (server.value?.origin !== "replay") return undefined;
  return coveragePoll().state.value.data;
});

/** What is asked of the clock. */
export interface ClockChange {
  readonly speed?: number;
  readonly paused?: boolean;
  readonly seek?: number | string;
  readonly step?: number | string;
}

/** Ask for a change of the clock; return whether it was made. */
async function setClock(change: ClockChange, place: string, said = ""): Promise<boolean> {
  const isMade = await desk.carryOut({
    place,
    run: async () => {
      const state = await plantPost("/plant/v1/clock", change, { wait: "2s" });
      answered.value = { state, atMs: Date.now() };
      return state;
    },
    said: () => said,
    topic: "clock",
  });
  clockPoll().refresh();
  return isMade;
}

/** Pause the market, or let it go on; play a recording again that is over. */
export function togglePause(): void {
  const now = clock.peek();
  if (now === undefined) return;
  if (now.phase === "over") {
    const fromMs = timeAt(barOf(now, undefined), 0);
    if (now.isReplay) void setClock({ paused: false, seek: fromMs }, "clock");
    return;
  }
  void setClock({ paused: !now.isPaused }, "clock");
}

/** Set how fast the market goes. */
export function setSpeed(speed: number): Promise<boolean> {
  return setClock({ speed }, "speed");
}

/** Advance the market by a step such as `1s` or a number of messages, and let it stand still. */
export function step(by: number | string): Promise<boolean> {
  return setClock({ paused: true, step: by }, "step");
}

/** End the seek or step that is on its way: the market stays where it is. */
export function stay(): void {
  void setClock({ seek: "+0s" }, "stay", "Stayed on the way.");
}

interface Target {
  readonly to: number | string;
  readonly shownAs: string;
}

const targets = new Map<string, Target>();

/**
 * Go to a position: ms, or text as the server reads it; return whether that is where the clock went.
 *
 * While one is gone to, only the latest of those that are asked for is kept.
 */
export async function seek(to: number | string, shownAs: string, place = "seek"): Promise<boolean> {
  if (desk.isBusy(place)) {
    targets.set(place, { to, shownAs });
    return false;
  }
  const isMade = await setClock({ seek: to }, place, `Went to ${shownAs}.`);
  const next = targets.get(place);
  targets.delete(place);
  return next === undefined ? isMade : seek(next.to, next.shownAs, place);
}
