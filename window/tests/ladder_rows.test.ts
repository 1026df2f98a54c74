import assert from "node:assert/strict";
import { test } from "node:test";
import { groupSteps, ladderRows, rowKey } from "../src/market/ladder_rows.ts";
import { BookSide, priceKey } from "../src/market/order_book.ts";

const PLAIN = { step: 0, priceDecimals: 1, quantityDecimals: 3 };

function side(isBids: boolean, rows: [string, string][]): BookSide {
  const made = new BookSide(isBids);
  made.replace(rows);
  return made;
}

test("without groups the rows are the levels as they were on the wire", () => {
  const rows = ladderRows(
    side(true, [
      ["9.90", "1.500"],
      ["9.80", "0.250"],
    ]).levels,
    true,
    5,
    PLAIN,
  );
  assert.deepEqual(
    rows.map(({ price, quantity, total }) => [price, quantity, total]),
    [
      ["9.90", "1.500", 1.5],
      ["9.80", "0.250", 1.75],
    ],
  );
});

test("groups add up, bids downwards and asks upwards", () => {
  const grouping = { ...PLAIN, step: 1 };
  const bids = side(true, [
    ["10.4", "1"],
    ["10.0", "2"],
    ["9.9", "4"],
    ["8.0", "8"],
  ]).levels;
  const asks = side(false, [
    ["10.1", "1"],
    ["11.0", "2"],
    ["11.1", "4"],
  ]).levels;
  const shown = (isBids: boolean, count: number) =>
    ladderRows(isBids ? bids : asks, isBids, count, grouping).map(({ price, size }) => [
      price,
      size,
    ]);
  assert.deepEqual(shown(true, 5), [
    ["10.0", 3],
    ["9.0", 4],
    ["8.0", 8],
  ]);
  assert.deepEqual(shown(false, 5), [
    ["11.0", 3],
    ["12.0", 4],
  ]);
  assert.deepEqual(shown(true, 2), [
    ["10.0", 3],
    ["9.0", 4],
  ]);
});

test("the quantities of all groups are those of all levels", () => {
  const rows: [string, string][] = Array.from({ length: 400 }, (_, n) => [
    (100 - n * 0.1).toFixed(1),
    String((n % 7) + 1),
  ]);
  const { levels } = side(true, rows);
  const whole = levels.reduce((sum, level) => sum + level.size, 0);
  for (const step of [0.1, 0.5, 1, 10]) {
    const shown = ladderRows(levels, true, 10_000, { ...PLAIN, step });
    assert.equal(shown.at(-1)?.total, whole, `step ${step}`);
  }
});

test("steps are multiples of the tick, and none is coarse for the price", () => {
  assert.deepEqual(groupSteps(0.1, 65_000), [0.1, 1, 5, 10, 50, 100]);
  assert.deepEqual(groupSteps(0.00001, 0.001), [0.00001]);
});

test("a price is found in the row that has it", () => {
  const step = priceKey(1);
  assert.equal(rowKey(priceKey("10.3"), true, step), priceKey(10));
  assert.equal(rowKey(priceKey("10.3"), false, step), priceKey(11));
  assert.equal(rowKey(priceKey("10.3"), true, 0), priceKey("10.3"));
});
