import assert from "node:assert/strict";
import { test } from "node:test";
import { MarkLog, MOST_MARKS } from "../src/market/marks.ts";
import type { Got } from "../src/wire/plant.ts";

type Faults = Got<"/plant/v1/faults">;
type Rule = Faults["rules"][number];
type Clock = Got<"/plant/v1/clock">;

function faults(...rules: Partial<Rule>[]): Faults {
  const whole = rules.map((each): Rule => {
    const plain = { kind: "drop", text: "drop=0.1", rule: {}, hits: 0, hint: "", opens_ms: 1_000 };
    return { id: "f1", state: "on", ends_ms: null, ...plain, ...each };
  });
  return { seed: 1, clock: "market", counts: {}, rules: whole, kinds: [], aims: [], windows: [] };
}

function spans(log: MarkLog): unknown {
  return log.marks.map(({ kind, startMs, endMs, text }) => [kind, startMs, endMs, text]);
}

test("a fault that was turned off stays marked until it was", () => {
  const log = new MarkLog();
  log.takeFaults(faults({}), 5_000);
  assert.deepEqual(spans(log), [["fault", 1_000, null, "drop 0.1"]]);
  log.takeFaults(faults({}), 7_000);
  log.takeFaults(faults(), 8_000);
  log.takeFaults(faults(), 9_000);
  assert.deepEqual(spans(log), [["fault", 1_000, 8_000, "drop 0.1"]]);
});

test("a fault of a moment is marked there, and one with a window over all of it", () => {
  const log = new MarkLog();
  const once = { id: "f2", text: "reset", state: "over" as const, opens_ms: 2_000 };
  log.takeFaults(faults(once, { ends_ms: 61_000 }), 5_000);
  assert.deepEqual(spans(log), [
    ["fault", 1_000, 61_000, "drop 0.1"],
    ["fault", 2_000, 2_000, "reset"],
  ]);
  log.takeFaults(faults(), 30_000);
  assert.equal(log.marks[0]?.endMs, 30_000, "it was turned off before its time");
});

test("a fault is marked in words", () => {
  const log = new MarkLog();
  log.takeFaults(faults({ text: "missing_field=0.5 stream=a_b@depth for=10s" }), 5_000);
  assert.equal(log.marks[0]?.text, "missing field 0.5, stream a_b@depth, for 10s");
});

test("a fault that was taken back before it began leaves no mark", () => {
  const log = new MarkLog();
  log.takeFaults(faults({ opens_ms: 9_000, state: "waiting" }), 5_000);
  log.takeFaults(faults(), 6_000);
  assert.deepEqual(log.marks, []);
});

test("levers and scenarios are marked, stopped ones until they were seen to be", () => {
  const log = new MarkLog();
  const lever = { id: "l1", market: "shock", state: "on" as const, parameters: {}, venue: "" };
  const page = {
    levers: [{ ...lever, symbols: ["BTCUSDT"], since_ms: 1_000, until_ms: null }],
    kinds: [],
  };
  log.takeLevers(page, 2_000);
  log.takeLevers({ levers: [], kinds: [] }, 4_000);
  const running = {
    id: "s1",
    name: "flash-crash",
    title: "Flash crash",
    state: "running" as const,
    stopped: false,
    start_ms: 3_000,
    end_ms: 90_000,
    done: 0,
    to_come: 1,
    changes: [],
  };
  log.takeScenarios({ scenarios: [running], library: [] }, 4_000);
  assert.deepEqual(spans(log), [
    ["lever", 1_000, 4_000, "shock BTCUSDT"],
    ["scenario", 3_000, 90_000, "Flash crash"],
  ]);
  const stopped = { ...running, state: "over" as const, stopped: true };
  log.takeScenarios({ scenarios: [stopped], library: [] }, 10_000);
  log.takeScenarios({ scenarios: [stopped], library: [] }, 20_000);
  assert.equal(log.marks[1]?.endMs, 10_000);
});

function clock(timeMs: number, change: Partial<Clock> = {}): Clock {
  const plain = { time: "", speed: 1, paused: false, state: "playing", from_ns: 0, to_ns: null };
  return { ...plain, time_ms: timeMs, messages: 0, ...change } as Clock;
}

test("pauses and jumps of the clock are marked, its going on is not", () => {
  const log = new MarkLog();
  log.takeClock(clock(100_000), 0);
  log.takeClock(clock(102_000), 2_000);
  log.takeClock(clock(102_000), 2_000);
  assert.deepEqual(log.marks, []);
  log.takeClock(clock(103_000, { paused: true }), 4_000);
  log.takeClock(clock(103_000, { paused: true }), 6_000);
  log.takeClock(clock(663_000), 8_000);
  log.takeClock(clock(200_000), 10_000);
  assert.deepEqual(
    log.marks.map(({ kind, startMs, text }) => [kind, startMs, text]),
    [
      ["clock", 103_000, "paused"],
      ["clock", 200_000, "back from 00:11:03"],
      ["clock", 663_000, "forward from 00:01:43"],
    ],
  );
  log.takeClock(clock(9_000_000, { speed: 0 }), 12_000);
  log.takeClock(clock(9_500_000, { speed: 1_000 }), 12_500);
  assert.equal(log.marks.length, 3, "a fast clock does not jump");
});

test("marks are bounded, and those that go on are kept", () => {
  const log = new MarkLog();
  log.takeFaults(faults({ id: "f0", opens_ms: 0 }), 1);
  for (let n = 1; n < 2 * MOST_MARKS; n++) {
    log.takeFaults(
      faults({ id: "f0", opens_ms: 0 }, { id: `f${n}`, state: "over", opens_ms: n }),
      n,
    );
  }
  assert.equal(log.marks.length, MOST_MARKS);
  assert.equal(log.marks[0]?.id, "fault f0");
  log.clear();
  assert.deepEqual(log.marks, []);
});
