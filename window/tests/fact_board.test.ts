import assert from "node:assert/strict";
import { test } from "node:test";
import { countdown, FactBoard } from "../src/rooms/market/fact_board.ts";

function ticker(E: number, c: string) {
  return { E, c, o: "100", h: "120", l: "90", v: "10", q: "1000" };
}

function candle(E: number, c: string) {
  const k = { t: 0, T: 59_999, i: "1m", o: "1", h: "1", l: "1", c, v: "1", q: "1", n: 1, x: false };
  return { E, k };
}

test("the countdown to funding follows market time and ends at zero", () => {
  const nextMs = Date.UTC(2026, 0, 1, 8);
  assert.equal(countdown(nextMs, nextMs - 8 * 3_600_000), "08:00:00");
  assert.equal(countdown(nextMs, nextMs - 61_500), "00:01:02");
  assert.equal(countdown(nextMs, nextMs - 1), "00:00:01");
  assert.equal(countdown(nextMs, nextMs + 5_000), "00:00:00");
});

test("the later of candle and ticker has the last price", () => {
  const facts = new FactBoard();
  facts.takeCandle(candle(2_000, "110"));
  facts.takeTicker(ticker(1_000, "105"));
  assert.equal(facts.last, 110);
  assert.ok(Math.abs(facts.change - 10) < 1e-9);
  facts.takeTicker(ticker(3_000, "104"));
  assert.equal(facts.last, 104);
  assert.equal(facts.direction, -1);
});

test("what is not known is not zero, and why is told", () => {
  const facts = new FactBoard();
  assert.ok(Number.isNaN(facts.last) && Number.isNaN(facts.change));
  assert.ok(Number.isNaN(facts.openInterest));
  assert.equal(facts.mark, undefined);
  facts.fail("openInterest", "It was not recorded.");
  assert.equal(facts.reason("openInterest"), "It was not recorded.");
  facts.takeOpenInterest({ symbol: "A", openInterest: "12.5", time: 1 });
  assert.equal(facts.openInterest, 12.5);
  assert.equal(facts.reason("openInterest"), "");
});

test("a contract with a delivery date has a mark price and no funding", () => {
  const facts = new FactBoard();
  facts.takeMark({ p: "100", i: "99", r: "", T: 0 });
  assert.equal(facts.mark?.price, 100);
  assert.ok(Number.isNaN(facts.mark?.fundingRate));
});

test("a contract that was not traded has no statistics", () => {
  const facts = new FactBoard();
  facts.takeTicker(ticker(1, "0.00"));
  assert.equal(facts.day, undefined);
  assert.match(facts.reason("day"), /not traded/);
});

test("a price of another time is forgotten if the server knows none of this one", () => {
  const facts = new FactBoard();
  facts.takeCandle(candle(9_000, "110"));
  facts.fail("day", "no statistics");
  assert.equal(facts.last, 110, "the price is of now");
  facts.reset();
  facts.fail("day", "no statistics");
  assert.ok(Number.isNaN(facts.last));
});

test("after a reset the market may be earlier, and another contract has no price yet", () => {
  const facts = new FactBoard();
  facts.takeCandle(candle(9_000, "110"));
  facts.reset();
  assert.equal(facts.last, 110);
  facts.takeCandle(candle(1_000, "50"));
  assert.equal(facts.last, 50);
  facts.forget();
  assert.ok(Number.isNaN(facts.last));
});
