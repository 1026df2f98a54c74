import assert from "node:assert/strict";
import { test } from "node:test";
import { SHOWN_MS, Traffic } from "../src/rooms/plant/traffic.ts";
import { parseMetrics, type Samples } from "../src/wire/metrics.ts";

globalThis.requestAnimationFrame = () => 0;

function reading(messages: number, short: number, long = 0): Samples {
  return parseMetrics(
    [
      `tickerplant_messages_sent_total{venue="usdm"} ${messages}`,
      'tickerplant_messages_sent_total{venue="coinm"} 0',
      `tickerplant_sent_bytes_total{venue="usdm"} ${messages * 100}`,
      "tickerplant_source_lag_seconds 0.25",
      `tickerplant_publish_to_write_seconds_bucket{le="0.001"} ${short}`,
      `tickerplant_publish_to_write_seconds_bucket{le="+Inf"} ${short + long}`,
      "tickerplant_publish_to_write_seconds_sum 1",
    ].join("\n"),
  );
}

test("rates follow from two readings, over both venues", () => {
  const traffic = new Traffic();
  traffic.take(reading(1_000, 0), 10_000);
  assert.deepEqual(traffic.points, []);
  traffic.take(reading(1_600, 0), 12_000);
  assert.deepEqual(traffic.points, [
    { atMs: 12_000, messagesPerS: 300, bytesPerS: 30_000, lagMs: 250 },
  ]);
});

test("the same reading is not taken twice", () => {
  const traffic = new Traffic();
  traffic.take(reading(1_000, 0), 10_000);
  traffic.take(reading(1_600, 0), 12_000);
  traffic.take(reading(1_600, 0), 12_000);
  assert.equal(traffic.points.length, 1);
});

test("only the last minutes are kept", () => {
  const traffic = new Traffic();
  for (let atMs = 2_000; atMs < 3 * SHOWN_MS; atMs += 2_000) traffic.take(reading(atMs, 0), atMs);
  assert.equal(traffic.points.length, SHOWN_MS / 2_000);
  const [first] = traffic.points;
  const last = traffic.points.at(-1);
  assert.ok(first && last && last.atMs - first.atMs < SHOWN_MS);
});

test("latencies are those of the last ten seconds", () => {
  const traffic = new Traffic();
  traffic.take(reading(0, 1_000), 2_000);
  assert.equal(traffic.latencies.size, 0, "what was before nobody knows when");
  for (let at = 1; at <= 10; at += 1) traffic.take(reading(0, 1_000 + at), 2_000 + 2_000 * at);
  assert.equal(traffic.latencies.get("write")?.count, 5);
  assert.equal(traffic.latencies.has("publish"), false, "this server does not measure it");
});

test("a restarted server is measured from its start", () => {
  const traffic = new Traffic();
  traffic.take(reading(5_000, 1_000), 2_000);
  traffic.take(reading(40, 3, 1), 4_000);
  assert.equal(traffic.points[0]?.messagesPerS, 20);
  assert.deepEqual(
    traffic.latencies.get("write")?.buckets.map((each) => each.count),
    [3, 1],
  );
});

test("latencies are not shown over a long time in which nobody looked", () => {
  const traffic = new Traffic();
  traffic.take(reading(0, 1_000), 2_000);
  traffic.take(reading(0, 9_000), 200_000);
  assert.equal(traffic.latencies.size, 0);
  traffic.take(reading(0, 9_007), 202_000);
  assert.equal(traffic.latencies.get("write")?.count, 7);
});
