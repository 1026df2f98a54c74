import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bestPrices,
  bucketOf,
  HeatMapHistory,
  holesOf,
  MOST_COLUMNS,
  middleOf,
  rowsOf,
  widening,
} from "../src/market/heat.ts";
import { OrderBook } from "../src/market/order_book.ts";

function bookOf(bid: string, ask: string, quantity = "2"): OrderBook {
  const book = new OrderBook();
  book.snapshot({ lastUpdateId: 1, bids: [[bid, quantity]], asks: [[ask, quantity]] });
  return book;
}

test("a second has one column", () => {
  const heat = new HeatMapHistory(0.1);
  const book = bookOf("1000.0", "1000.1");
  assert.equal(heat.look(book, 5_100), true);
  assert.equal(heat.look(book, 5_900), false);
  assert.equal(heat.look(book, 6_000), true);
  assert.deepEqual(
    heat.columns.map(({ timeMs }) => timeMs),
    [5_000, 6_000],
  );
  assert.equal(heat.columns[0]?.bid, 1_000);
});

test("seconds without a book are blank", () => {
  const heat = new HeatMapHistory(0.1);
  heat.look(bookOf("1000.0", "1000.1"), 1_000);
  assert.equal(heat.look(new OrderBook(), 2_000), false);
  heat.look(bookOf("1000.0", "1000.1"), 4_000);
  assert.deepEqual(
    heat.columns.map(({ timeMs, sizes }) => [timeMs, sizes.length > 0]),
    [
      [1_000, true],
      [2_000, false],
      [3_000, false],
      [4_000, true],
    ],
  );
});

test("a market that goes back begins again", () => {
  const heat = new HeatMapHistory(0.1);
  const book = bookOf("1000.0", "1000.1");
  heat.look(book, 100_000);
  heat.look(book, 50_000);
  assert.deepEqual(
    heat.columns.map(({ timeMs }) => timeMs),
    [50_000],
  );
});

test("the history is bounded, also after a long silence", () => {
  const heat = new HeatMapHistory(0.1);
  const book = bookOf("1000.0", "1000.1");
  heat.look(book, 1_000);
  heat.look(book, 100_000_000);
  assert.equal(heat.columns.length, MOST_COLUMNS);
});

test("all of the book near the middle is in the rows", () => {
  const heat = new HeatMapHistory(0.1);
  const book = new OrderBook();
  const rows = (from: number, step: number): [string, string][] =>
    Array.from({ length: 50 }, (_, n) => [(from + n * step).toFixed(1), "1.5"]);
  book.snapshot({ lastUpdateId: 1, bids: rows(1_000, -0.1), asks: rows(1_000.1, 0.1) });
  heat.look(book, 1_000);
  const [column] = heat.columns;
  assert.ok(column);
  for (const times of [1, 2, 5]) {
    const height = heat.bucket * times;
    const shown = rowsOf(column, heat.bucket, 990, height, 400);
    const sum = shown.reduce((all, each) => all + each, 0);
    assert.equal(sum, 150, `${times} buckets a row`);
  }
  const bestBid = rowsOf(column, heat.bucket, 1_000, 0.1, 1)[0];
  assert.equal(bestBid, 1.5);
});

test("a bucket is a multiple of the tick", () => {
  assert.equal(bucketOf(65_000, 0.1), 1.6);
  assert.equal(bucketOf(0.5, 0.0001), 0.0001);
});

test("of the trades of a second the two largest are kept", () => {
  const heat = new HeatMapHistory(0.1);
  for (const size of [1, -5, 3, 2]) heat.trade(1_000, size);
  heat.look(bookOf("1000.0", "1000.1"), 1_000);
  assert.deepEqual(
    heat.columns[0]?.trades.map(({ size }) => size),
    [-5, 3],
  );
});

test("times without a book are told, also the last one", () => {
  const heat = new HeatMapHistory(0.1);
  const book = bookOf("1000.0", "1000.1");
  for (const ms of [1_000, 4_000, 5_000, 9_000]) heat.look(book, ms);
  const holes = [
    { from: 1, to: 3 },
    { from: 5, to: 8 },
  ];
  assert.deepEqual(holesOf(heat.columns), holes);
  assert.deepEqual(holesOf(heat.columns.slice(0, 7)), [
    { from: 1, to: 3 },
    { from: 5, to: 7 },
  ]);
  assert.deepEqual(holesOf([]), []);
});

test("a picture is as wide as its best prices need, and stays where they are in it", () => {
  const heat = new HeatMapHistory(0.1);
  assert.equal(bestPrices(heat.columns), undefined);
  heat.look(bookOf("1000.0", "1000.1"), 1_000);
  heat.look(bookOf("880.0", "890.0"), 4_000);
  const [low = 0, high = 0] = bestPrices(heat.columns) ?? [];
  assert.deepEqual([low, high], [880, 1000.1]);
  heat.look(bookOf("8.8", "8.9"), 5_000);
  heat.look(bookOf("900.0", "900.1"), 6_000);
  assert.deepEqual(bestPrices(heat.columns), [880, 1000.1], "a wrong price hides no other");
  assert.equal(widening(low, high, 200), 1);
  assert.equal(widening(low, high, 10), 32);
  assert.equal(widening(1000, 1000, 10), 1);
  for (const old of [0, 500, 950, 2_000]) {
    const range = 10 * widening(low, high, 10);
    const middle = middleOf(low, high, range, old);
    assert.ok(middle - range / 2 <= low && high <= middle + range / 2, `from ${old}: ${middle}`);
    assert.equal(middleOf(low, high, range, middle), middle);
  }
});
