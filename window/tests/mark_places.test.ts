import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mark } from "../src/market/marks.ts";
import { labelRows, placesOf, positionOf } from "../src/rooms/market/mark_places.ts";

const MINUTE_MS = 60_000;
const times = [10, 11, 12, 13].map((n) => n * MINUTE_MS);

function mark(startMs: number, endMs: number | null): Mark {
  return { id: "fault 1", kind: "fault", startMs, endMs, text: "reset" };
}

test("a time lies within its candle as far as the candle had come", () => {
  assert.equal(positionOf(10 * MINUTE_MS, times, MINUTE_MS), -0.5);
  assert.equal(positionOf(11.5 * MINUTE_MS, times, MINUTE_MS), 1);
  assert.equal(positionOf(13.75 * MINUTE_MS, times, MINUTE_MS), 3.25);
  assert.equal(positionOf(99 * MINUTE_MS, times, MINUTE_MS), 3.5);
});

test("marks outside the candles are left out, and others are cut at their ends", () => {
  const places = placesOf(
    [
      mark(1 * MINUTE_MS, 5 * MINUTE_MS),
      mark(1 * MINUTE_MS, 11 * MINUTE_MS),
      mark(12 * MINUTE_MS, null),
      mark(14 * MINUTE_MS, null),
    ],
    times,
    MINUTE_MS,
  );
  assert.deepEqual(
    places.map(({ from, to }) => [from, to]),
    [
      [-0.5, 0.5],
      [1.5, 3.5],
    ],
  );
  assert.deepEqual(placesOf([mark(0, null)], [], MINUTE_MS), []);
});

test("labels that would overlap go to further rows, as long as there are some", () => {
  const labels = [0, 10, 20, 30, 100].map((left) => ({ left, width: 50 }));
  assert.deepEqual(labelRows(labels, 3), [0, 1, 2, -1, 0]);
});
