import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_LEVELS, OrderBook, priceKey } from "../src/market/order_book.ts";
import type { DepthSnapshot, DepthUpdate } from "../src/wire/messages.ts";

type Rows = [string, string][];

function update(U: number, u: number, pu: number, b: Rows = [], a: Rows = []): DepthUpdate {
  return { E: u, s: "BTCUSDT", U, u, pu, b, a };
}

function snapshot(lastUpdateId: number, bids: Rows = [], asks: Rows = []): DepthSnapshot {
  return { lastUpdateId, bids, asks };
}

/** A generator of numbers that is the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("a snapshot and the updates that continue it are the book", () => {
  const book = new OrderBook();
  assert.equal(book.update(update(1, 5, 0, [["9.0", "1"]])), "waits");
  assert.equal(book.update(update(6, 12, 5, [["9.5", "2"]], [["10.5", "3"]])), "waits");
  assert.equal(book.snapshot(snapshot(8, [["9.4", "4"]], [["10.0", "1"]])), "");
  assert.equal(book.state, "live");
  assert.equal(book.updateId, 12);
  assert.deepEqual(
    book.bids.levels.map(({ price, quantity }) => [price, quantity]),
    [
      ["9.5", "2"],
      ["9.4", "4"],
    ],
  );
  assert.equal(book.asks.best?.price, "10.0");
  assert.equal(book.mid, 9.75);
});

test("a snapshot before the first message is the book", () => {
  const book = new OrderBook();
  assert.equal(book.snapshot(snapshot(7, [["1", "1"]], [["2", "1"]])), "");
  assert.equal(book.state, "live");
  assert.equal(book.update(update(3, 6, 2, [["1", "9"]])), "old");
  assert.equal(book.update(update(8, 9, 7, [["1", "2"]])), "applied");
  assert.equal(book.bids.best?.quantity, "2");
});

test("a snapshot that is too old or crossed is refused, and the next one is taken", () => {
  const book = new OrderBook();
  book.update(update(20, 25, 19));
  assert.equal(book.snapshot(snapshot(10)), "the snapshot is too old");
  assert.equal(book.snapshot(snapshot(21, [["5", "1"]], [["5", "1"]])), "the snapshot is crossed");
  assert.equal(book.state, "waiting");
  assert.equal(book.snapshot(snapshot(21, [["4", "1"]], [["5", "1"]])), "");
  assert.equal(book.updateId, 25);
});

test("a hole ends it, and what comes after the hole waits for a snapshot", () => {
  const book = new OrderBook();
  book.snapshot(snapshot(10, [["4", "1"]], [["5", "1"]]));
  book.update(update(11, 15, 10));
  assert.equal(book.update(update(21, 25, 20, [["4", "7"]])), "hole");
  assert.equal(book.state, "waiting");
  assert.equal(book.update(update(26, 30, 25, [["3", "2"]])), "waits");
  assert.equal(book.snapshot(snapshot(22, [["4", "1"]], [["5", "1"]])), "");
  assert.equal(book.updateId, 30);
  assert.deepEqual(
    book.bids.levels.map(({ price, quantity }) => [price, quantity]),
    [
      ["4", "7"],
      ["3", "2"],
    ],
  );
});

test("merged updates, as slow pages get them, continue the book", () => {
  const book = new OrderBook();
  book.snapshot(snapshot(10, [["4", "1"]], [["5", "1"]]));
  assert.equal(book.update(update(8, 20, 7, [["4", "2"]])), "applied");
  assert.equal(book.update(update(21, 40, 20, [["4", "0"]])), "applied");
  assert.equal(book.bids.best, undefined);
  assert.equal(book.mid, undefined);
});

test("a book is deepened by a snapshot while it goes on", () => {
  const book = new OrderBook();
  book.snapshot(snapshot(10, [["4", "1"]], [["5", "1"]]));
  book.update(update(11, 15, 10, [["4", "2"]]));
  book.expectSnapshot();
  assert.equal(book.update(update(16, 20, 15, [["4", "3"]])), "applied");
  assert.equal(book.state, "live");
  assert.equal(
    book.snapshot(
      snapshot(
        17,
        [
          ["4", "9"],
          ["3", "1"],
        ],
        [["5", "1"]],
      ),
    ),
    "",
  );
  assert.equal(book.updateId, 20);
  assert.equal(book.bids.best?.quantity, "3", "what came after the snapshot holds");
  assert.equal(book.bids.levels.length, 2);
});

test("a snapshot without levels on a side is used once the next one lacks them too", () => {
  const book = new OrderBook();
  assert.equal(book.snapshot(snapshot(10, [["4", "1"]])), "the snapshot has no asks");
  assert.equal(book.state, "waiting");
  assert.equal(book.snapshot(snapshot(11, [["4", "1"]], [["5", "1"]])), "");
  book.reset();
  assert.equal(book.snapshot(snapshot(12)), "the snapshot has no levels");
  assert.equal(book.snapshot(snapshot(13, [], [["5", "1"]])), "");
  assert.equal(book.state, "live");
  assert.equal(book.bids.best, undefined);
});

test("a crossed book is known as such", () => {
  const book = new OrderBook();
  book.snapshot(snapshot(10, [["4", "1"]], [["5", "1"]]));
  book.update(update(11, 12, 10, [["6", "1"]]));
  assert.equal(book.isCrossed, true);
});

test("the levels farthest away are dropped where there are too many", () => {
  const book = new OrderBook();
  book.snapshot(snapshot(1));
  book.snapshot(snapshot(1));
  for (let n = 1; n <= MOST_LEVELS + 50; n += 1) {
    book.update(update(n + 1, n + 1, n, [[String(n), "1"]]));
  }
  assert.equal(book.bids.levels.length, MOST_LEVELS);
  assert.equal(book.bids.best?.price, String(MOST_LEVELS + 50));
});

test("prices with many decimals are told apart", () => {
  assert.notEqual(priceKey("0.00000001"), priceKey("0.00000002"));
  assert.equal(priceKey("65122.60"), priceKey("65122.6"));
});

/** Merge two updates as the server does for pages that are behind. */
function merged(first: DepthUpdate, second: DepthUpdate): DepthUpdate {
  const both = (name: "b" | "a"): Rows => [
    ...new Map([...first[name], ...second[name]].map(([price, quantity]) => [price, quantity])),
  ];
  return { ...second, U: first.U, pu: first.pu, b: both("b"), a: both("a") };
}

test("a book that loses updates and loads again is always that of a naive model, or says so", () => {
  let compared = 0;
  for (let seed = 1; seed <= 60; seed += 1) {
    const draw = numbers(seed);
    const truth = { bids: new Map<string, string>(), asks: new Map<string, string>() };
    const book = new OrderBook();
    let last = 0;
    let held: DepthUpdate | undefined;
    for (let step = 0; step < 120; step += 1) {
      const [b, a]: [Rows, Rows] = [[], []];
      for (let n = draw(4); n >= 0; n -= 1) {
        const isBid = draw(2) === 0;
        const price = (isBid ? 100 + draw(30) : 131 + draw(30)).toFixed(1);
        const quantity = draw(3) === 0 ? "0" : String(1 + draw(9));
        const side = isBid ? truth.bids : truth.asks;
        if (quantity === "0") side.delete(price);
        else side.set(price, quantity);
        (isBid ? b : a).push([price, quantity]);
      }
      const next = last + 1 + draw(3);
      const single = update(last + 1, next, last, b, a);
      const message = held ? merged(held, single) : single;
      held = undefined;
      last = next;
      if (draw(5) === 0) {
        held = message;
        continue;
      }
      if (draw(20) > 0) book.update(message);
      if (draw(10) === 0) book.update(message);
      if (book.state === "waiting" && draw(4) === 0) {
        book.snapshot(snapshot(last, [...truth.bids], [...truth.asks]));
      }
      if (draw(15) === 0) book.expectSnapshot();
      if (book.state !== "live" || book.updateId !== last) continue;
      compared += 1;
      for (const name of ["bids", "asks"] as const) {
        const sign = name === "bids" ? -1 : 1;
        const expected = [...truth[name]].sort((x, y) => sign * (Number(x[0]) - Number(y[0])));
        const found = book[name].levels.map(({ price, quantity }) => [price, quantity]);
        assert.deepEqual(found, expected, `${name} of seed ${seed} at step ${step}`);
      }
    }
  }
  assert.ok(compared > 1_000, `the book was live ${compared} times`);
});

test("levels that are no numbers, or of less than nothing, are not kept", () => {
  const book = new OrderBook();
  const rows: Rows = [
    ["NaN", "1"],
    ["9.0", "-1"],
    ["9.1", "x"],
    ["8.0", "1"],
  ];
  assert.equal(book.snapshot(snapshot(5, rows, [["10.0", "1"]])), "");
  assert.equal(
    book.update(
      update(6, 6, 5, [
        ["x", "1"],
        ["8.5", "-2"],
        ["8.6", "NaN"],
      ]),
    ),
    "applied",
  );
  assert.deepEqual(
    book.bids.levels.map(({ price }) => price),
    ["8.0"],
  );
});
