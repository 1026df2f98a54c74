import assert from "node:assert/strict";
import { test } from "node:test";
import { ChartState, olderSentence } from "../src/rooms/market/chart_state.ts";
import type { MarketData } from "../src/wire/market_data.ts";
import type { KlineRow } from "../src/wire/messages.ts";
import type { Query } from "../src/wire/rest.ts";

const MINUTE_MS = 60_000;
const FIRST = 1_000;

function row(n: number, trades = 100, level = 0): KlineRow {
  const price = String(level + 1_000 + (n % 50));
  const openMs = n * MINUTE_MS;
  return [openMs, price, price, price, price, "5", openMs + MINUTE_MS - 1, "5000", trades];
}

/** A market that is asked and that sends; requests wait until they are answered. */
class Exchange implements MarketData {
  now = 2_000;
  level = 0;
  failure: string | undefined;
  requests: { path: string; query: Query }[] = [];
  readonly handlers = new Map<string, (message: unknown) => void>();
  readonly timers: { delayMs: number; action: () => void }[] = [];
  reset: () => void = () => {};
  readonly request: MarketData["request"] = async (path, query) => {
    this.requests.push({ path, query });
    const failure = this.failure;
    const end = Math.min(this.now, Number(query.endTime ?? Infinity) / MINUTE_MS);
    const rows: KlineRow[] = [];
    for (let n = Math.max(FIRST, Math.ceil(end - Number(query.limit) + 1e-9)); n <= end; n++) {
      rows.push(row(n, n === this.now ? 10 : 100, this.level));
    }
    await Promise.resolve();
    if (failure) throw new Error(failure);
    return rows;
  };
  readonly subscribe: MarketData["subscribe"] = (stream, handler) => {
    this.handlers.set(stream, handler);
    return () => this.handlers.delete(stream);
  };
  readonly onReset: MarketData["onReset"] = (callback) => {
    this.reset = callback;
    return () => {};
  };
  readonly after: MarketData["after"] = (delayMs, action) => {
    const timer = { delayMs, action };
    this.timers.push(timer);
    return () => {
      const index = this.timers.indexOf(timer);
      if (index >= 0) this.timers.splice(index, 1);
    };
  };

  send(n: number, trades = 50): void {
    const [t, o, h, l, c, v, T, q] = row(n, trades, this.level);
    const k = { t, T, i: "1m", o, h, l, c, v, q, n: trades, x: false };
    this.handlers.get("btcusdt@kline_1m")?.({ E: t, k });
  }

  /** Let all timers up to a length fire. */
  pass(delayMs: number): void {
    for (const timer of this.timers.filter((each) => each.delayMs <= delayMs)) {
      this.timers.splice(this.timers.indexOf(timer), 1);
      timer.action();
    }
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

async function chart(exchange = new Exchange()): Promise<[ChartState, Exchange]> {
  const state = new ChartState(exchange, "BTCUSDT", "1m", () => {});
  state.start();
  await settled();
  return [state, exchange];
}

function isUnbroken(state: ChartState): boolean {
  return state.series.candles.every(
    ({ openMs }, i, all) => i === 0 || openMs === (all[i - 1]?.openMs ?? 0) + MINUTE_MS,
  );
}

test("live candles that come before the history join it", async () => {
  const exchange = new Exchange();
  const state = new ChartState(exchange, "BTCUSDT", "1m", () => {});
  state.start();
  assert.equal(state.phase, "loading");
  exchange.send(2_000, 20);
  exchange.send(2_001, 3);
  await settled();
  assert.equal(state.phase, "live");
  assert.ok(isUnbroken(state));
  assert.equal(state.series.newest?.openMs, 2_001 * MINUTE_MS);
  assert.equal(state.series.candles.at(-2)?.trades, 20);
});

test("scrolling back loads pages until the history begins", async () => {
  const [state, exchange] = await chart();
  assert.equal(state.series.candles.length, 500);
  for (let page = 0; page < 4; page++) await state.loadOlder();
  assert.equal(state.series.candles[0]?.openMs, FIRST * MINUTE_MS);
  assert.equal(state.series.candles.length, 1_001);
  assert.equal(state.older, "none");
  assert.match(olderSentence(state), /begins here/);
  assert.ok(isUnbroken(state));
  const asked = exchange.requests.length;
  await state.loadOlder();
  assert.equal(exchange.requests.length, asked);
});

test("a hole is filled from the history, and not asked for again at once", async () => {
  const [state, exchange] = await chart();
  exchange.pass(500);
  exchange.now = 2_010;
  exchange.send(2_010, 11);
  await settled();
  assert.ok(isUnbroken(state));
  assert.equal(state.series.candles.length, 510);
  const asked = exchange.requests.length;
  exchange.pass(500);
  exchange.send(2_020, 11);
  await settled();
  assert.equal(exchange.requests.length, asked);
});

test("a market that goes back is shown as it is now", async () => {
  const [state, exchange] = await chart();
  exchange.pass(500);
  exchange.now = 1_900;
  exchange.reset();
  exchange.send(1_900, 12);
  await settled();
  assert.equal(state.series.newest?.openMs, 1_900 * MINUTE_MS);
  assert.equal(state.series.newest?.trades, 12);
  assert.ok(isUnbroken(state));
});

test("many jumps in a row make few requests, and the last one is shown", async () => {
  const [state, exchange] = await chart();
  exchange.pass(500);
  exchange.requests = [];
  for (let i = 0; i < 50; i++) {
    exchange.now = 1_900 - i;
    exchange.reset();
    await settled();
  }
  assert.ok(exchange.requests.length <= 2 * 2, String(exchange.requests.length));
  exchange.pass(500);
  await settled();
  assert.equal(state.series.newest?.openMs, 1_851 * MINUTE_MS);
  assert.equal(exchange.requests.length, 2 * 2);
});

test("an answer that was asked for before a jump is not shown", async () => {
  const exchange = new Exchange();
  const state = new ChartState(exchange, "BTCUSDT", "1m", () => {});
  state.start();
  exchange.level = 5_000;
  exchange.reset();
  await settled();
  assert.equal(state.series.candles.length, 0);
  exchange.pass(500);
  await settled();
  assert.ok((state.series.newest?.close ?? 0) > 5_000);
});

test("a failure is said, tried again, and live candles go on", async () => {
  const exchange = new Exchange();
  exchange.failure = "Too many requests.";
  const [state] = await chart(exchange);
  assert.equal(state.phase, "failed");
  assert.equal(state.problem, "Too many requests");
  exchange.send(2_000, 20);
  assert.equal(state.series.candles.length, 1);
  exchange.failure = undefined;
  exchange.pass(5_000);
  exchange.pass(5_000);
  await settled();
  assert.equal(state.phase, "live");
  assert.equal(state.problem, "");
  assert.equal(state.series.candles.length, 500);
  assert.equal(state.series.newest?.trades, 20);
});

test("a contract without trades is empty until the first candle", async () => {
  const exchange = new Exchange();
  exchange.now = 0;
  const [state] = await chart(exchange);
  assert.equal(state.phase, "empty");
  exchange.send(2_000, 1);
  assert.equal(state.phase, "live");
  assert.equal(state.series.candles.length, 1);
});

test("a page that failed can be asked for again", async () => {
  const [state, exchange] = await chart();
  exchange.failure = "the server did not answer";
  await state.loadOlder();
  assert.match(olderSentence(state), /cannot be loaded: the server did not answer\./);
  exchange.failure = undefined;
  state.retry();
  await state.loadOlder();
  assert.equal(state.series.candles.length, 1_000);
});

test("nothing goes on after the end", async () => {
  const [state, exchange] = await chart();
  state.end();
  assert.equal(exchange.handlers.size, 0);
  assert.equal(exchange.timers.length, 0);
});
