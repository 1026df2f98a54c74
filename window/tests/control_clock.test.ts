import assert from "node:assert/strict";
import { test } from "node:test";
import {
  barOf,
  type ClockState,
  type Coverage,
  clockOf,
  drawnHoles,
  keyStepMs,
  keyTarget,
  later,
  parseSpeed,
  phaseText,
  quietOf,
  shareAt,
  speedText,
  timeAt,
} from "../src/rooms/control/clock.ts";

const START_MS = 1_795_287_000_000;
const MS = 1_000_000;

function replay(change: Partial<ClockState & Record<string, unknown>> = {}): ClockState {
  return {
    time: "2026-11-21T18:50:00Z",
    time_ms: START_MS + 20,
    received_ns: START_MS * MS,
    speed: 1,
    paused: false,
    state: "playing",
    pace: "receive",
    next_ns: (START_MS + 100) * MS,
    from_ns: START_MS * MS,
    to_ns: (START_MS + 600_000) * MS,
    loop: false,
    shift_ms: 0,
    messages: 0,
    recordings: ["rec"],
    ...change,
  } as ClockState;
}

function simulation(change: Partial<ClockState> = {}): ClockState {
  return {
    time: "2026-11-21T18:50:00Z",
    time_ms: START_MS + 60_000,
    speed: 1,
    paused: false,
    state: "playing",
    from_ns: START_MS * MS,
    to_ns: null,
    messages: 3,
    ...change,
  } as ClockState;
}

function covering(holes: Coverage["holes"], change: Partial<Coverage> = {}): Coverage {
  return {
    from_ns: START_MS * MS,
    to_ns: (START_MS + 600_000) * MS,
    spans: [[START_MS * MS, (START_MS + 600_000) * MS]],
    holes,
    streams: 4,
    truncated: false,
    complete: true,
    ...change,
  };
}

function hole(fromMs: number, toMs: number, streams = 1, reason = "1006"): Coverage["holes"][0] {
  return { from_ns: (START_MS + fromMs) * MS, to_ns: (START_MS + toMs) * MS, streams, reason };
}

test("a clock that plays goes on between two answers, at its speed and not beyond the end", () => {
  const clock = clockOf(replay({ speed: 10 }));
  assert.equal(later(clock, 500).positionMs, START_MS + 5_000);
  assert.equal(later(clock, 500).timeMs, START_MS + 5_020);
  assert.equal(
    later(clock, 3_600_000).positionMs,
    START_MS + 40_000,
    "a lost server is not guessed",
  );
  const end = clockOf(replay({ received_ns: (START_MS + 599_900) * MS }));
  assert.equal(later(end, 1_000).positionMs, START_MS + 600_000);
});

test("a clock that stands still is not moved", () => {
  for (const change of [
    { paused: true, state: "paused" as const },
    { state: "over" as const },
    { speed: 0 },
    { pending: true },
  ]) {
    const clock = clockOf(replay(change));
    assert.equal(later(clock, 1_000), clock);
  }
});

test("where nothing was recorded the position goes on and the market time does not", () => {
  const clock = clockOf(replay({ next_ns: (START_MS + 60_000) * MS }));
  const now = later(clock, 2_000);
  assert.equal(now.positionMs, START_MS + 2_000);
  assert.equal(now.timeMs, START_MS + 20);
  assert.deepEqual(quietOf(now), { untilMs: START_MS + 60_000, waitMs: 58_000 });
  const fast = clockOf(replay({ next_ns: (START_MS + 60_000) * MS, speed: 10 }));
  assert.equal(quietOf(fast)?.waitMs, 6_000);
  const full = clockOf(replay({ next_ns: (START_MS + 60_000) * MS, speed: 0 }));
  assert.equal(quietOf(full)?.waitMs, 0, "full speed does not wait");
  assert.equal(quietOf(clockOf(replay())), undefined);
  assert.equal(quietOf(clockOf(replay({ next_ns: null }))), undefined);
  assert.equal(quietOf(clockOf(simulation())), undefined);
});

test("a place on the bar is a time, and back", () => {
  const bar = barOf(clockOf(replay()), undefined);
  for (const share of [0, 0.25, 0.5, 1]) assert.equal(shareAt(bar, timeAt(bar, share)), share);
  assert.equal(timeAt(bar, -3), START_MS);
  assert.equal(timeAt(bar, 3), START_MS + 600_000);
  assert.equal(shareAt(bar, 0), 0);
});

test("bounds between two milliseconds are not left by a seek in whole ones", () => {
  const state = replay({ from_ns: START_MS * MS + 300_000, to_ns: (START_MS + 9) * MS + 700_000 });
  const bar = barOf(
    clockOf({ ...state, received_ns: START_MS * MS + 300_000 } as ClockState),
    undefined,
  );
  assert.equal(timeAt(bar, 0), START_MS + 1);
  assert.equal(timeAt(bar, 1), START_MS + 9);
});

test("the end of the bar is that of the clock, of the coverage, or as far as is known", () => {
  const unknown = clockOf(replay({ to_ns: null }));
  const known = barOf(unknown, covering([]));
  assert.deepEqual([known.toMs, known.isEndKnown], [START_MS + 600_000, true]);
  const some = covering([], {
    to_ns: null,
    complete: false,
    spans: [[START_MS * MS, (START_MS + 5_000) * MS]],
  });
  const partly = barOf(unknown, some);
  assert.deepEqual([partly.toMs, partly.isEndKnown], [START_MS + 5_000, false]);
  const nothing = barOf(unknown, undefined);
  assert.deepEqual([nothing.toMs, nothing.isEndKnown], [START_MS + 1, false]);
  const before = barOf(clockOf(replay({ received_ns: (START_MS - 500) * MS })), undefined);
  assert.equal(before.fromMs, START_MS - 500, "a seek may lead before where the replay began");
});

test("a simulation goes forward only", () => {
  const bar = barOf(clockOf(simulation({ to_ns: (START_MS + 600_000) * MS })), undefined);
  assert.equal(timeAt(bar, 0), START_MS + 60_000);
  assert.equal(keyTarget(bar, bar.positionMs, "ArrowLeft"), START_MS + 60_000);
  assert.equal(keyTarget(bar, bar.positionMs, "Home"), START_MS + 60_000);
});

test("keys move by round times", () => {
  const bar = barOf(clockOf(replay()), undefined);
  assert.equal(keyStepMs(bar), 10_000);
  assert.equal(keyTarget(bar, START_MS, "ArrowRight"), START_MS + 10_000);
  assert.equal(keyTarget(bar, START_MS + 300_000, "PageDown"), START_MS + 200_000);
  assert.equal(keyTarget(bar, START_MS, "End"), START_MS + 600_000);
  assert.equal(keyTarget(bar, START_MS, "ArrowLeft"), START_MS);
  assert.equal(keyTarget(bar, START_MS, "x"), undefined);
});

test("holes of one place are drawn as one, those of all streams apart", () => {
  const bar = barOf(clockOf(replay()), undefined);
  const drawn = drawnHoles(
    bar,
    covering([
      hole(60_000, 61_000),
      hole(61_500, 61_500, 2, "gap"),
      hole(61_600, 70_000, 4, "nobody recorded"),
      hole(300_000, 330_000),
      hole(700_000, 800_000),
    ]),
  );
  assert.deepEqual(
    drawn.map(({ fromMs, toMs, isWhole, holes }) => [
      fromMs - START_MS,
      toMs - START_MS,
      isWhole,
      holes.length,
    ]),
    [
      [60_000, 61_500, false, 2],
      [61_600, 70_000, true, 1],
      [300_000, 330_000, false, 1],
    ],
  );
  assert.equal(drawn[2]?.left, 0.5);
  assert.ok(Math.abs((drawn[2]?.width ?? 0) - 0.05) < 1e-9);
});

test("any number of holes is drawn as a bounded number", () => {
  const bar = barOf(clockOf(replay()), undefined);
  const many = Array.from({ length: 1_000 }, (_, n) =>
    hole(n * 600, n * 600 + 100, 1 + 3 * (n % 2)),
  );
  assert.ok(drawnHoles(bar, covering(many)).length <= 402);
});

test("speeds are read as people write them", () => {
  assert.deepEqual(["2", " 0.5 ", "10×", "10X", "0"].map(parseSpeed), [2, 0.5, 10, 10, 0]);
  for (const text of ["", "-1", "fast", "1e9", "0.0001", "Infinity"]) {
    assert.throws(() => parseSpeed(text), /0 for as fast as it goes/, text);
  }
  assert.deepEqual([speedText(0), speedText(2.5)], ["full speed", "2.5×"]);
});

test("where the clock is on its way to is known, if that is a time", () => {
  const target = (START_MS + 9) * MS;
  assert.equal(clockOf(replay({ pending: true, target_ns: target })).targetMs, START_MS + 9);
  assert.equal(clockOf(simulation({ pending: true, target_ns: null })).targetMs, null);
  assert.equal(clockOf(simulation()).targetMs, null, "as an older server answers");
});

test("the state is said in words", () => {
  assert.equal(phaseText(clockOf(replay({ pending: true, state: "warming up" }))), "seeking");
  assert.equal(
    phaseText(clockOf(replay({ state: "waiting" }))),
    "waiting for the first subscriber",
  );
  assert.equal(phaseText(clockOf(replay({ paused: true, state: "paused" }))), "paused");
});
