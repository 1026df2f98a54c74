/** The clock of a market as the page sees it: where it is, where it can go, what it waits for. */
import type { Got } from "../../wire/plant.ts";

export type ClockState = Got<"/plant/v1/clock">;
export type Coverage = Got<"/plant/v1/coverage">;
export type CoverageHole = Coverage["holes"][number];

/** Beyond this, a position is not guessed from the last answer. */
const LONGEST_GUESS_MS = 4_000;
/** A wait for the next message that is worth a sentence. */
const QUIET_MS = 5_000;
/** As the position is told in ms and the bounds in ns. */
const ROUNDING_MS = 0.0005;

export interface Clock {
  /** Market time: that of the messages. */
  readonly timeMs: number;
  /** The position: in a replay the time of the recording. */
  readonly positionMs: number;
  /** Market seconds per second; 0 is as fast as it goes. */
  readonly speed: number;
  readonly isPaused: boolean;
  readonly phase: ClockState["state"];
  readonly isPending: boolean;
  /** Where a seek or a step that is on its way leads; null if there is none. */
  readonly targetMs: number | null;
  readonly isReplay: boolean;
  readonly loops: boolean;
  readonly fromMs: number;
  /** Null while it is not known, or if there is none. */
  readonly toMs: number | null;
  /** The position of the next message; null at the end and in a simulation. */
  readonly nextMs: number | null;
  /** How much later all times are than they were recorded. */
  readonly shiftMs: number;
  readonly messages: number;
  readonly recordings: readonly string[];
}

/** Return what an answer of `/plant/v1/clock` says. */
export function clockOf(state: ClockState): Clock {
  const shared = {
    timeMs: state.time_ms,
    speed: state.speed,
    isPaused: state.paused,
    phase: state.state,
    isPending: state.pending ?? false,
    targetMs: typeof state.target_ns === "number" ? state.target_ns / 1e6 : null,
    fromMs: state.from_ns / 1e6,
    toMs: state.to_ns === null ? null : state.to_ns / 1e6,
    messages: state.messages,
  };
  if (!("received_ns" in state)) {
    return {
      ...shared,
      positionMs: state.time_ms,
      isReplay: false,
      loops: false,
      nextMs: null,
      shiftMs: 0,
      recordings: [],
    };
  }
  return {
    ...shared,
    positionMs: state.received_ns / 1e6,
    isReplay: true,
    loops: state.loop,
    nextMs: state.next_ns === null ? null : state.next_ns / 1e6,
    shiftMs: state.shift_ms,
    recordings: state.recordings,
  };
}

/** Return a clock as it should be `elapsedMs` after it was read. */
export function later(clock: Clock, elapsedMs: number): Clock {
  if (clock.phase !== "playing" || clock.isPending || clock.speed === 0) return clock;
  const passedMs = Math.max(0, Math.min(elapsedMs, LONGEST_GUESS_MS)) * clock.speed;
  const positionMs = Math.min(clock.positionMs + passedMs, clock.toMs ?? Number.POSITIVE_INFINITY);
  // The times of messages stand still while there is none.
  const untilMs = Math.max(clock.positionMs, clock.nextMs ?? positionMs);
  const isQuiet = clock.isReplay && untilMs - clock.positionMs > QUIET_MS;
  const movedMs = isQuiet && positionMs < untilMs ? 0 : positionMs - clock.positionMs;
  return { ...clock, positionMs, timeMs: clock.timeMs + movedMs };
}

/** Return what the clock does, in a few words. */
export function phaseText(clock: Clock): string {
  if (clock.isPending) return clock.phase === "warming up" ? "seeking" : "on its way";
  switch (clock.phase) {
    case "waiting":
      return clock.isPaused ? "paused before the start" : "waiting for the first subscriber";
    case "warming up":
      return clock.loops ? "warming up for the next round" : "warming up";
    case "over":
      return "over";
    default:
      return clock.phase;
  }
}

/** Return a speed in words. */
export function speedText(speed: number): string {
  return speed === 0 ? "full speed" : `${speed}×`;
}

/**
 * Return the speed in a text such as `2.5` or `10×`.
 *
 * @throws Error with what is expected.
 */
export function parseSpeed(text: string): number {
  const found = /^\s*(\d+(?:\.\d+)?)\s*[×x]?\s*$/i.exec(text);
  const speed = found ? Number(found[1]) : Number.NaN;
  if (speed === 0 || (speed >= 0.001 && speed <= 1_000_000)) return speed;
  throw new Error("a number from 0.001 to 1,000,000, or 0 for as fast as it goes");
}

/** What of the market's time is drawn, and where one may go in it. */
export interface Bar {
  readonly fromMs: number;
  readonly toMs: number;
  readonly positionMs: number;
  /** Whether `toMs` is the end; else it is as far as is known. */
  readonly isEndKnown: boolean;
  /** The earliest and the latest position that can be gone to. */
  readonly leastMs: number;
  readonly mostMs: number;
}

/** Return the bar of a clock; a simulation, which cannot go back, begins where it is. */
export function barOf(clock: Clock, coverage: Coverage | undefined): Bar {
  const { positionMs } = clock;
  const lastMs = Math.max(0, ...(coverage?.spans.map(([, to]) => to / 1e6) ?? []));
  const endMs = clock.toMs ?? (coverage?.to_ns ? coverage.to_ns / 1e6 : null);
  const fromMs = Math.min(clock.fromMs, positionMs);
  const toMs = Math.max(endMs ?? lastMs, positionMs, fromMs + 1);
  const leastMs = clock.isReplay ? fromMs : positionMs;
  const isEndKnown = endMs !== null;
  return { fromMs, toMs, positionMs, isEndKnown, leastMs, mostMs: toMs };
}

/** Return where a time is on a bar, from 0 to 1. */
export function shareAt(bar: Bar, timeMs: number): number {
  return Math.min(1, Math.max(0, (timeMs - bar.fromMs) / (bar.toMs - bar.fromMs)));
}

/** Return the time at a place of a bar, as far as one may go there: whole ms. */
export function timeAt(bar: Bar, share: number): number {
  return reachable(bar, bar.fromMs + share * (bar.toMs - bar.fromMs));
}

/** Return the time nearest to another that one may go to, in whole ms. */
function reachable(bar: Bar, timeMs: number): number {
  const least = Math.ceil(bar.leastMs - ROUNDING_MS);
  const most = Math.max(least, Math.floor(bar.mostMs + ROUNDING_MS));
  return Math.min(most, Math.max(least, Math.round(timeMs)));
}

const STEPS_MS = [1, 10, 100, 1_000, 5_000, 10_000, 60_000, 300_000, 600_000, 3_600_000];

/** Return how far an arrow key moves on a bar: about a hundredth of it, a round time. */
export function keyStepMs(bar: Bar): number {
  const wanted = (bar.toMs - bar.fromMs) / 100;
  return STEPS_MS.find((each) => each >= wanted) ?? 3_600_000;
}

/** Return where a key leads to on a bar; undefined if the key is none of a slider. */
export function keyTarget(bar: Bar, fromMs: number, key: string): number | undefined {
  const stepMs = keyStepMs(bar);
  switch (key) {
    case "ArrowLeft":
    case "ArrowDown":
      return reachable(bar, fromMs - stepMs);
    case "ArrowRight":
    case "ArrowUp":
      return reachable(bar, fromMs + stepMs);
    case "PageDown":
      return reachable(bar, fromMs - 10 * stepMs);
    case "PageUp":
      return reachable(bar, fromMs + 10 * stepMs);
    case "Home":
      return reachable(bar, bar.leastMs);
    case "End":
      return reachable(bar, bar.mostMs);
    default:
      return undefined;
  }
}

/** Holes that are drawn as one. */
export interface DrawnHole {
  /** Where it is, from 0 to 1. */
  readonly left: number;
  readonly width: number;
  readonly fromMs: number;
  readonly toMs: number;
  /** Whether it is about all streams. */
  readonly isWhole: boolean;
  readonly holes: readonly CoverageHole[];
}

/** Places on a bar that are told apart. */
const PLACES = 200;

/**
 * Return the holes of a bar, those of the same place as one: at most two for each place.
 *
 * Holes of all streams and of some are kept apart, because they look different.
 */
export function drawnHoles(bar: Bar, coverage: Coverage | undefined): readonly DrawnHole[] {
  const drawn: DrawnHole[] = [];
  const last = new Map<boolean, number>();
  for (const hole of coverage?.holes ?? []) {
    const [fromMs, toMs] = [hole.from_ns / 1e6, hole.to_ns / 1e6];
    if (toMs < bar.fromMs || fromMs > bar.toMs) continue;
    const isWhole = hole.streams >= (coverage?.streams ?? 0);
    const at = last.get(isWhole);
    const before = at === undefined ? undefined : drawn[at];
    const isNear = before && place(bar, fromMs) <= place(bar, before.toMs);
    const joined = isNear
      ? { fromMs: before.fromMs, toMs: Math.max(before.toMs, toMs), holes: [...before.holes, hole] }
      : { fromMs, toMs, holes: [hole] };
    const left = shareAt(bar, joined.fromMs);
    const width = shareAt(bar, joined.toMs) - left;
    const next = { ...joined, left, width, isWhole };
    if (isNear && at !== undefined) drawn[at] = next;
    else last.set(isWhole, drawn.push(next) - 1);
  }
  return drawn;
}

function place(bar: Bar, timeMs: number): number {
  return Math.floor(shareAt(bar, timeMs) * PLACES);
}

/** A wait of a paced replay for the next message. */
export interface Quiet {
  readonly untilMs: number;
  /** How long it takes; 0 if the clock is not running at a pace. */
  readonly waitMs: number;
}

/** Return until when a replay has nothing to play; undefined if the next message is near. */
export function quietOf(clock: Clock): Quiet | undefined {
  const { nextMs, positionMs, phase, speed } = clock;
  if (nextMs === null || nextMs - positionMs < QUIET_MS) return undefined;
  if (phase !== "playing" && phase !== "paused") return undefined;
  return { untilMs: nextMs, waitMs: speed ? (nextMs - positionMs) / speed : 0 };
}
