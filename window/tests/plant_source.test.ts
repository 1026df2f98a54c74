import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Clock,
  progress,
  sourceFacts,
  sourceState,
  sourceTitle,
} from "../src/rooms/plant/source.ts";
import { parseMetrics } from "../src/wire/metrics.ts";
import type { Server } from "../src/wire/plant.ts";

const SERVER: Server = {
  version: "1.2.3",
  build: "",
  venue: "usdm",
  profile: "2026q1",
  origin: "simulation",
  source: "",
  limits_enforced: true,
  delivery: "every",
  started_ms: 0,
  now_ms: 1_795_411_130_307,
  addresses: {},
  rest_prefix: "/fapi",
  api_path: "/ws-fapi/v1",
  controls: { clock: true, seek_back: false, faults: true, scenarios: true, levers: true },
};
const SIMULATED: Clock = {
  time: "",
  time_ms: 1_795_411_130_307,
  speed: 2,
  paused: false,
  state: "playing",
  from_ns: 0,
  to_ns: null,
  messages: 12_237,
  pending: false,
  target_ns: null,
};
const REPLAYED: Clock = {
  ...SIMULATED,
  received_ns: 75e9,
  pace: "receive",
  next_ns: null,
  from_ns: 50e9,
  to_ns: 150e9,
  loop: true,
  shift_ms: 3_600_000,
  recordings: ["/tapes/one"],
};

function facts(server: Server, clock: Clock | undefined, metrics = ""): Record<string, string> {
  const found = sourceFacts(server, clock, parseMetrics(metrics));
  return Object.fromEntries(found.map(({ name, value }) => [name, value]));
}

test("a source is named by its origin, a relay with its upstream", () => {
  assert.equal(sourceTitle(SERVER), "Simulated market");
  assert.equal(sourceTitle({ ...SERVER, origin: "replay" }), "Replay of recordings");
  const relay: Server = { ...SERVER, origin: "relay", source: "relays ws://up:9001" };
  assert.equal(sourceTitle(relay), "Relay of ws://up:9001");
});

test("the state is that of the clock, and a reason is said", () => {
  const ready = { ready: true, reason: "", warnings: [] };
  assert.deepEqual(sourceState(ready, SIMULATED), { isWell: true, text: "playing" });
  assert.deepEqual(sourceState(ready, undefined), { isWell: true, text: "live" });
  const lost = { ready: false, reason: "the upstream is lost", warnings: [] };
  assert.deepEqual(sourceState(lost, undefined), {
    isWell: false,
    text: "not served: the upstream is lost",
  });
});

test("the end of a recording is no failure", () => {
  const over = { ready: false, reason: "the recording is over", warnings: [] };
  const state = sourceState(over, { ...REPLAYED, state: "over" });
  assert.deepEqual(state, { isWell: true, text: "the recording is over" });
});

test("a replay tells its position between beginning and end", () => {
  assert.equal(progress(REPLAYED), 0.25);
  assert.equal(progress({ ...REPLAYED, to_ns: null }), undefined);
  assert.equal(progress({ ...REPLAYED, to_ns: 50e9 }), undefined);
  assert.equal(progress(SIMULATED), undefined);
  const shown = facts({ ...SERVER, origin: "replay" }, REPLAYED);
  assert.equal(
    shown.Position,
    "25.0 % of the recordings from 1970-01-01 00:00:50 UTC, 1m 40s long",
  );
  assert.equal(shown.Recordings, "/tapes/one");
  assert.equal(shown["Paced by"], "receive times, in a loop");
  assert.equal(shown.Times, "1h 00m later than recorded");
});

test("a speed that is not held is said", () => {
  const metrics = (short: number): string =>
    `tickerplant_source_speed_held 1.5\ntickerplant_source_speed_short ${short}`;
  assert.equal(facts(SERVER, SIMULATED, metrics(0)).Speed, "2 × real time, held 1.50");
  assert.equal(
    facts(SERVER, SIMULATED, metrics(1)).Speed,
    "2 × real time, but only 1.50 is held: it falls behind",
  );
  assert.equal(
    facts(SERVER, { ...SIMULATED, speed: 0, paused: true }).Speed,
    "as fast as possible, paused",
  );
});

test("a relay tells of its upstream, over both venues", () => {
  const shown = facts(
    { ...SERVER, origin: "relay" },
    undefined,
    'tickerplant_upstream_connections{venue="usdm"} 2\n' +
      'tickerplant_upstream_connections{venue="coinm"} 1\n' +
      'tickerplant_upstream_gaps_total{venue="usdm"} 4',
  );
  assert.equal(shown["Upstream connections"], "3 open");
  assert.equal(shown["Upstream losses"], "connections 0, gaps 4, messages missing 0");
  assert.equal(shown.Speed, undefined);
});

test("the lag is said with its unit", () => {
  assert.equal(facts(SERVER, SIMULATED, "tickerplant_source_lag_seconds 0.25").Lag, "250 ms");
  assert.equal(facts(SERVER, SIMULATED, "tickerplant_source_lag_seconds 0").Lag, "none");
});
