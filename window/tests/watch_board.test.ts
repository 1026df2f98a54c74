import assert from "node:assert/strict";
import { test } from "node:test";
import { contractOf } from "../src/market/contracts.ts";
import { spreadBp, spreadTicks, visibleRows, WatchBoard } from "../src/rooms/market/watch_board.ts";

function contract(symbol: string, contractSize = 0, status = "TRADING") {
  return contractOf({
    symbol,
    pair: symbol,
    status,
    contractType: symbol.includes("_2") ? "CURRENT_QUARTER" : "PERPETUAL",
    baseAsset: symbol.slice(0, 3),
    quoteAsset: "USDT",
    marginAsset: "USDT",
    deliveryDate: Date.UTC(2100, 11),
    ...(contractSize ? { contractSize } : {}),
    filters: [{ filterType: "PRICE_FILTER", tickSize: "0.10" }],
  });
}

function boardOf(...symbols: string[]): WatchBoard {
  const board = new WatchBoard();
  board.setContracts(new Map(symbols.map((each) => [each, contract(each)])));
  return board;
}

function ticker(s: string, c: string, o = "100", q = "1000") {
  return { E: 1, s, c, o, h: c, l: c, v: "10", q };
}

const names = (board: WatchBoard, search = "", column = "", descending = false): string[] =>
  board.view(search, { column, descending }).map(({ contract: { symbol } }) => symbol);

test("rows are found by all words, whatever their case", () => {
  const board = boardOf("BTCUSDT", "ETHUSDT", "BTCUSDT_261225");
  assert.deepEqual(names(board, "btc"), ["BTCUSDT", "BTCUSDT_261225"]);
  assert.deepEqual(names(board, "btc quarter"), ["BTCUSDT_261225"]);
  assert.deepEqual(names(board, "none"), []);
});

test("rows are sorted by each column, and what is not known comes last from above", () => {
  const board = boardOf("AAA", "BBB", "CCC", "DDD");
  board.takeTickers([
    ticker("AAA", "90", "100", "5"),
    ticker("BBB", "300", "200", "7"),
    ticker("CCC", "10", "10", "6"),
  ]);
  board.takeQuotes([
    { symbol: "AAA", bidPrice: "89.9", askPrice: "90.1" },
    { symbol: "BBB", bidPrice: "299.9", askPrice: "300.1" },
    { symbol: "CCC", bidPrice: "9", askPrice: "11" },
    { symbol: "DDD", bidPrice: "0", askPrice: "5" },
  ]);
  assert.deepEqual(names(board, "", "change", true), ["BBB", "CCC", "AAA", "DDD"]);
  assert.deepEqual(names(board, "", "last", true), ["BBB", "AAA", "CCC", "DDD"]);
  assert.deepEqual(names(board, "", "volume", true), ["BBB", "CCC", "AAA", "DDD"]);
  assert.deepEqual(names(board, "", "spread", true), ["CCC", "AAA", "BBB", "DDD"]);
  assert.deepEqual(names(board, "", "symbol", true), ["DDD", "CCC", "BBB", "AAA"]);
  assert.deepEqual(names(board, "", "unheard", true), ["AAA", "BBB", "CCC", "DDD"]);
});

test("the spread is told in ticks and in hundredths of a percent", () => {
  const board = boardOf("AAA");
  board.takeQuotes([{ symbol: "AAA", bidPrice: "99.9", askPrice: "100.1" }]);
  const row = board.rows.get("AAA");
  assert.ok(row);
  assert.equal(spreadTicks(row), 2);
  assert.ok(Math.abs(spreadBp(row) - 20) < 1e-9);
});

test("a row tells which way the last price went, and how often it changed", () => {
  const board = boardOf("AAA");
  for (const last of ["10", "11", "11", "9"]) board.takeTickers([ticker("AAA", last)]);
  const row = board.rows.get("AAA");
  assert.equal(row?.direction, -1);
  assert.equal(row?.changes, 2);
  assert.equal(row?.change, -91);
});

test("the list follows listings, delistings and halts, and keeps what it knows", () => {
  const board = boardOf("AAA", "BBB");
  board.takeTickers([ticker("AAA", "10"), ticker("BBB", "20")]);
  board.setContracts(
    new Map([
      ["NEW", contract("NEW")],
      ["BBB", contract("BBB", 0, "TRADING_HALT")],
    ]),
  );
  assert.deepEqual(names(board), ["NEW", "BBB"]);
  assert.equal(board.rows.get("BBB")?.last, 20);
  assert.equal(board.rows.get("BBB")?.contract.status, "TRADING_HALT");
  board.takeTickers([ticker("AAA", "11")]);
  assert.equal(board.rows.has("AAA"), false);
});

test("the volume of COIN-M contracts is their number times their size", () => {
  const board = new WatchBoard();
  board.setContracts(new Map([["BTCUSD_PERP", contract("BTCUSD_PERP", 100)]]));
  board.takeTickers([ticker("BTCUSD_PERP", "50000", "50000", "0.02")]);
  assert.equal(board.rows.get("BTCUSD_PERP")?.volume, 1_000);
});

test("after a reset rows are in doubt until they are told again", () => {
  const board = boardOf("AAA", "BBB");
  assert.equal(board.unknown, 2);
  board.takeTickers([ticker("AAA", "10"), ticker("BBB", "20")]);
  assert.equal(board.unknown, 0);
  board.reset();
  assert.equal(board.unknown, 2);
  board.takeTickers([ticker("AAA", "30")]);
  assert.equal(board.unknown, 1);
  assert.equal(board.rows.get("AAA")?.changes, 0);
});

test("a contract that was not traded has no price", () => {
  const board = boardOf("AAA");
  const zero = { lastPrice: "0", openPrice: "0", highPrice: "0", lowPrice: "0", volume: "0" };
  board.takeDays([{ symbol: "AAA", ...zero, quoteVolume: "0", closeTime: 1 }]);
  assert.ok(Number.isNaN(board.rows.get("AAA")?.last));
  assert.ok(Number.isNaN(board.rows.get("AAA")?.change));
});

test("what was known of another time is forgotten if the server knows nothing of this one", () => {
  const board = boardOf("AAA", "BBB");
  board.takeTickers([ticker("AAA", "10"), ticker("BBB", "20")]);
  board.reset();
  board.takeTickers([ticker("AAA", "30")]);
  board.takeDays([]);
  assert.equal(board.rows.get("AAA")?.last, 30);
  assert.ok(Number.isNaN(board.rows.get("BBB")?.last));
});

test("of a long list only the rows in sight are made", () => {
  assert.deepEqual(visibleRows(700, 24, 0, 240), { from: 0, to: 16 });
  assert.deepEqual(visibleRows(700, 24, 2_400, 240), { from: 94, to: 116 });
  assert.deepEqual(visibleRows(700, 24, 700 * 24 - 240, 240), { from: 684, to: 700 });
  assert.deepEqual(visibleRows(3, 24, 5_000, 240), { from: 0, to: 3 });
});
