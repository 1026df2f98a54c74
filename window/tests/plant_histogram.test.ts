import assert from "node:assert/strict";
import { test } from "node:test";
import {
  added,
  duration,
  type Histogram,
  occupied,
  quantile,
  readHistogram,
} from "../src/rooms/plant/histogram.ts";
import { parseMetrics } from "../src/wire/metrics.ts";

const BOUNDS = [0.001, 0.002, 0.004, Number.POSITIVE_INFINITY];

function histogram(...counts: number[]): Histogram {
  const buckets = BOUNDS.map((upTo, at) => ({ upTo, count: counts[at] ?? 0 }));
  return { buckets, count: counts.reduce((sum, each) => sum + each, 0), sum: 1 };
}

test("buckets are read as counts of their own, added up over processes", () => {
  const text = [
    'wait_bucket{le="0.001",worker="1"} 2',
    'wait_bucket{le="+Inf",worker="1"} 5',
    'wait_bucket{le="0.001",worker="2"} 1',
    'wait_bucket{le="+Inf",worker="2"} 1',
    'wait_sum{worker="1"} 0.5',
    'wait_sum{worker="2"} 0.25',
  ].join("\n");
  assert.deepEqual(readHistogram(parseMetrics(text), "wait"), {
    buckets: [
      { upTo: 0.001, count: 3 },
      { upTo: Number.POSITIVE_INFINITY, count: 3 },
    ],
    count: 6,
    sum: 0.75,
  });
  assert.equal(readHistogram(parseMetrics(text), "missing"), undefined);
});

test("what was added is the difference of two readings", () => {
  const difference = added(histogram(5, 4, 0, 1), histogram(2, 4, 0, 0));
  assert.deepEqual(
    difference.buckets.map((each) => each.count),
    [3, 0, 0, 1],
  );
  assert.equal(difference.count, 4);
});

test("a histogram that has begun again was added as a whole", () => {
  const now = histogram(1, 0, 2, 0);
  assert.equal(added(now, histogram(50, 0, 0, 0)), now);
  assert.equal(added(now, histogram(0, 1, 0, 0)), now, "a later bucket lost some");
  assert.equal(added(now, undefined), now);
});

test("a quantile is found within its bucket", () => {
  const spread = histogram(50, 40, 10, 0);
  assert.equal(quantile(spread, 0.5), 0.001);
  assert.equal(quantile(spread, 0.25), 0.0005);
  assert.equal(quantile(spread, 0.7), 0.0015);
  assert.equal(quantile(spread, 0.95), 0.003);
  assert.equal(quantile(spread, 1), 0.004);
});

test("a quantile beyond the last bound is that bound, and one of nothing is unknown", () => {
  assert.equal(quantile(histogram(1, 0, 0, 9), 0.99), 0.004);
  assert.ok(Number.isNaN(quantile(histogram(0, 0, 0, 0), 0.5)));
  assert.equal(quantile(histogram(0, 10, 0, 0), 0), 0.001, "the least is where its bucket begins");
});

test("only buckets between the first and the last that is used are shown", () => {
  assert.deepEqual(
    occupied(histogram(0, 3, 0, 1)).map((each) => each.count),
    [3, 0, 1],
  );
  assert.deepEqual(occupied(histogram(0, 0, 0, 0)), []);
});

test("durations are written with the unit that fits", () => {
  assert.deepEqual([0.00005, 0.00025, 0.0025, 0.12, 2.5].map(duration), [
    "50 µs",
    "250 µs",
    "2.5 ms",
    "120 ms",
    "2.5 s",
  ]);
  assert.equal(duration(Number.NaN), "–");
});
