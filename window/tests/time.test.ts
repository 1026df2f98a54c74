import assert from "node:assert/strict";
import { test } from "node:test";
import { MarketClock } from "../src/market/time.ts";

function clockAt(wallMs: number): { clock: MarketClock; pass: (ms: number) => void } {
  let nowMs = wallMs;
  const pass = (ms: number): void => {
    nowMs += ms;
  };
  return { clock: new MarketClock(() => nowMs), pass };
}

test("market time goes on between events, at the speed of the market and not for long", () => {
  const { clock, pass } = clockAt(5_000);
  assert.equal(clock.now(), 0);
  clock.takeEvent(1_000_000);
  pass(400);
  assert.equal(clock.now(), 1_000_400);
  pass(60_000);
  assert.equal(clock.now(), 1_002_500);
  clock.takeClock({ time_ms: 2_000_000, speed: 10, state: "playing" });
  pass(100);
  assert.equal(clock.now(), 2_001_000);
});

test("an event that is a little older changes nothing, and one that is much older does", () => {
  const { clock } = clockAt(0);
  clock.takeEvent(1_000_000);
  clock.takeEvent(999_000);
  assert.equal(clock.now(), 1_000_000);
  clock.takeEvent(900_000);
  assert.equal(clock.now(), 900_000);
});

test("a clock that stands at another time than before is told, a clock that runs is not", () => {
  const { clock, pass } = clockAt(0);
  const still = (time_ms: number) => clock.takeClock({ time_ms, speed: 1, state: "paused" });
  clock.takeEvent(1_000_000);
  pass(1_000);
  assert.equal(still(1_001_200), false);
  pass(2_000);
  assert.equal(still(1_001_200), false);
  pass(2_000);
  assert.equal(still(1_600_000), true);
  pass(2_000);
  assert.equal(still(1_600_000), false);
  assert.equal(still(1_000_000), true);
  assert.equal(clock.takeClock({ time_ms: 1_900_000, speed: 1, state: "playing" }), false);
});
