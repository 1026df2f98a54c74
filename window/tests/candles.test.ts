import assert from "node:assert/strict";
import { test } from "node:test";
import { type Candle, CandleSeries, MOST_CANDLES, openTimes } from "../src/rooms/market/candles.ts";

const MINUTE_MS = 60_000;

/** A candle of a market whose minute `n` has a fixed course: `trades` tells how far it has come. */
function candle(n: number, trades = 100, market = 0): Candle {
  const close = 1_000 + market + ((n * 37) % 91) + trades / 100;
  return {
    openMs: n * MINUTE_MS,
    closeMs: (n + 1) * MINUTE_MS - 1,
    open: 1_000 + market,
    high: close + 5,
    low: 900,
    close,
    volume: trades * 2,
    turnover: trades * 2 * close,
    trades,
  };
}

function minutes(from: number, to: number, market = 0): Candle[] {
  return Array.from({ length: to - from }, (_, i) => candle(from + i, 100, market));
}

/** A generator of numbers that is the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("history and live candles in any order make the series of a naive model", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const draw = numbers(seed);
    const series = new CandleSeries();
    // The market as it is: how far each minute has come.
    const market = new Map<number, number>();
    let now = 50 + draw(20);
    for (let n = 0; n < now; n++) market.set(n, 100);
    market.set(now, 1 + draw(50));
    const rows = (from: number, to: number): Candle[] =>
      [...market].filter(([n]) => n >= from && n <= to).map(([n, trades]) => candle(n, trades));
    series.takeTail(rows(now - 20, now), false);
    for (let step = 0; step < 60; step++) {
      const choice = draw(10);
      if (choice < 6) {
        const before = market.get(now) ?? 0;
        if (before >= 90 || draw(6) === 0) {
          market.set(now, 100);
          series.take(candle(now, 100));
          now += 1;
          market.set(now, 1 + draw(5));
        } else market.set(now, before + draw(4));
        series.take(candle(now, market.get(now)));
      } else if (choice === 6) {
        // An older state of a candle, late.
        series.take(candle(now, Math.max(1, (market.get(now) ?? 1) - draw(3))));
        series.take(candle(now - 1, 100));
      } else if (choice === 7) {
        const first = (series.candles[0]?.openMs ?? 0) / MINUTE_MS;
        series.takeOlder(rows(first - 7, first + draw(3)));
      } else if (choice === 8) series.takeTail(rows(now - draw(20), now), draw(2) === 0);
      else {
        // Messages were missed; the history fills the hole.
        market.set(now, 100);
        for (let n = draw(4); n > 0; n--) market.set(++now, 100);
        market.set(++now, 3);
        series.take(candle(now, 3));
        series.takeTail(rows(now - 10, now), true);
      }
      const first = (series.candles[0]?.openMs ?? 0) / MINUTE_MS;
      assert.deepEqual(series.candles, rows(first, now), `seed ${seed}, step ${step}`);
    }
  }
});

test("what changed since the last drawing is told", () => {
  const series = new CandleSeries();
  series.takeTail(minutes(0, 10), false);
  assert.deepEqual(series.takeChanges(), { all: true, from: 0 });
  assert.deepEqual(series.takeChanges(), { all: false, from: 10 });
  series.take(candle(9, 110));
  series.take(candle(10, 1));
  assert.deepEqual(series.takeChanges(), { all: false, from: 9 });
  series.take(candle(9, 105));
  assert.deepEqual(series.takeChanges(), { all: false, from: 11 });
});

test("a live candle that does not follow the newest tells of a hole", () => {
  const series = new CandleSeries();
  series.takeTail(minutes(0, 10), false);
  assert.equal(series.take(candle(10)), false);
  assert.equal(series.take(candle(13)), true);
  assert.equal(series.take(candle(13, 120)), false);
});

test("candles of another time or market replace what is held", () => {
  const held = minutes(0, 50);
  const wentBack = new CandleSeries();
  wentBack.takeTail(held, false);
  wentBack.takeTail(minutes(10, 30), false);
  assert.deepEqual(wentBack.candles, minutes(10, 30));

  const other = new CandleSeries();
  other.takeTail(held, false);
  other.takeTail(minutes(40, 60, 5_000), false);
  assert.deepEqual(other.candles, minutes(40, 60, 5_000));

  const later = new CandleSeries();
  later.takeTail(held, false);
  later.takeTail(minutes(100, 110), false);
  assert.deepEqual(later.candles, minutes(100, 110));

  const gone = new CandleSeries();
  gone.takeTail(held, false);
  gone.takeTail([], false);
  assert.deepEqual(gone.candles, []);
});

test("a reconnect keeps the older pages", () => {
  const series = new CandleSeries();
  series.takeTail([...minutes(0, 50), candle(50, 7)], false);
  series.takeTail(minutes(40, 60), false);
  assert.deepEqual(series.candles, minutes(0, 60));
});

test("the series is bounded at both ends", () => {
  const series = new CandleSeries();
  series.takeTail(minutes(0, MOST_CANDLES - 10), false);
  assert.equal(series.takeOlder(minutes(-100, 0)), 10);
  assert.equal(series.candles[0]?.openMs, -10 * MINUTE_MS);
  assert.ok(series.isFull);
  for (let n = MOST_CANDLES - 10; n < MOST_CANDLES + 2_000; n++) series.take(candle(n));
  assert.ok(series.candles.length <= MOST_CANDLES + 500);
  assert.equal(series.newest?.openMs, (MOST_CANDLES + 1_999) * MINUTE_MS);
});

test("a mark price belongs to the newest candle, or waits for the next", () => {
  const series = new CandleSeries();
  series.takeTail(minutes(0, 3), false);
  series.takeMarkPrices([[0, 900]]);
  series.takeMarkPrice(1_000, 2 * MINUTE_MS + 5);
  assert.equal(series.markPriceAt(0), 900);
  assert.equal(series.markPriceAt(2 * MINUTE_MS), 1_000);
  series.takeMarkPrice(1_001, 3 * MINUTE_MS + 5);
  assert.equal(series.markPriceAt(2 * MINUTE_MS), 1_000);
  series.take(candle(3, 1));
  assert.equal(series.markPriceAt(3 * MINUTE_MS), 1_001);
});

test("missing candles are gaps in the chart, unless they are very many", () => {
  const times = (...ns: number[]): number[] =>
    openTimes(ns.map((n) => candle(n))).map((openMs) => openMs / MINUTE_MS);
  assert.deepEqual(times(1, 2, 3), [1, 2, 3]);
  assert.deepEqual(times(1, 4, 5), [1, 2, 3, 4, 5]);
  assert.deepEqual(times(1, 1_000), [1, 1_000]);
});
