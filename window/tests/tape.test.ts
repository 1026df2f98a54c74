import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_ENTRIES, type PastTrade, Tape } from "../src/market/tape.ts";

function trade(a: number, m = false): PastTrade {
  return { a, p: "10.0", q: String(a % 10), T: a * 10, m };
}

function ids(tape: Tape): string[] {
  return tape.entries.map(({ id }) => id);
}

test("trades come newest first, and none twice", () => {
  const tape = new Tape();
  for (const a of [5, 6, 6, 5, 7]) tape.add(trade(a));
  assert.deepEqual(ids(tape), ["7", "6", "5"]);
  tape.add(trade(8, true));
  assert.equal(tape.entries[0]?.side, "sell", "the taker sold to a buyer who was there");
});

test("missing trades are told where they are missing, and filled in", () => {
  const tape = new Tape();
  tape.add(trade(5));
  tape.add(trade(9));
  assert.deepEqual(ids(tape), ["9", "gap before 9", "5"]);
  assert.equal(tape.entries[1]?.missing, 3);
  tape.fill([4, 5, 6, 7, 8].map((a) => trade(a)));
  assert.deepEqual(ids(tape), ["9", "8", "7", "6", "5", "4"]);
  tape.add(trade(10));
  assert.equal(ids(tape)[0], "10");
});

test("what is still missing after a fill is told", () => {
  const tape = new Tape();
  tape.add(trade(5));
  tape.fill([8, 9].map((a) => trade(a)));
  assert.deepEqual(ids(tape), ["9", "8", "gap before 8", "5"]);
  tape.fill([]);
  assert.equal(tape.entries.length, 4);
});

test("liquidations stand among the trades", () => {
  const tape = new Tape();
  tape.add(trade(5));
  const o = { s: "BTCUSDT", S: "SELL", p: "9.0", ap: "9.5", q: "3", T: 55 };
  tape.addLiquidation({ E: 55, o });
  tape.add(trade(6));
  assert.deepEqual(
    tape.entries.map(({ kind }) => kind),
    ["trade", "liquidation", "trade"],
  );
  assert.equal(tape.entries[1]?.price, "9.5");
  tape.fill([trade(4)]);
  assert.equal(tape.entries.filter(({ kind }) => kind === "liquidation").length, 1);
});

test("the tape is bounded", () => {
  const tape = new Tape();
  for (let a = 1; a < 2 * MOST_ENTRIES; a += 1) tape.add(trade(a));
  assert.equal(tape.entries.length, MOST_ENTRIES);
  tape.fill(Array.from({ length: 2 * MOST_ENTRIES }, (_, n) => trade(n + 1)));
  assert.equal(tape.entries.length, MOST_ENTRIES);
});

test("a server that counts anew, and a market that was set back, begin a new tape", () => {
  const tape = new Tape();
  for (const a of [500, 501]) tape.add(trade(a));
  tape.add({ ...trade(3), T: 9_000 });
  assert.deepEqual(ids(tape), ["3"], "a lower id at a later time");
  tape.add({ ...trade(2), T: 8_990 });
  assert.deepEqual(ids(tape), ["3"], "a late duplicate");
  tape.add({ ...trade(1), T: 100 });
  assert.deepEqual(ids(tape), ["1"], "an earlier time");
  for (const a of [700, 701]) tape.add(trade(a));
  tape.fill([4, 5].map((a) => ({ ...trade(a), T: 60_000 + a })));
  assert.deepEqual(ids(tape), ["5", "4"], "past trades of another server");
});

test("past trades that are a little older than the stream are no other market", () => {
  const tape = new Tape();
  tape.add(trade(500));
  tape.add(trade(501));
  tape.fill([498, 499, 500].map((a) => trade(a)));
  assert.deepEqual(ids(tape), ["501", "500", "499", "498"]);
});
