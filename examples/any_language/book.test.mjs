// A test of an order book in JavaScript:
//   node --test book.test.mjs                             (Node 22 and later)
//   node --experimental-websocket --test book.test.mjs    (Node 20)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

// The program under test.

class OrderBook {
  #waiting = [];

  constructor(symbol, streams, rest) {
    this.symbol = symbol;
    this.rest = rest;
    this.updateId = 0; // 0: not in sync
    this.received = 0;
    this.bids = new Map();
    this.asks = new Map();
    this.socket = new WebSocket(`${streams}/ws/${symbol.toLowerCase()}@depth@100ms`);
    this.socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
  }

  async load() {
    const answer = await fetch(`${this.rest}/fapi/v1/depth?symbol=${this.symbol}&limit=1000`);
    const snapshot = await answer.json();
    this.bids = new Map(snapshot.bids);
    this.asks = new Map(snapshot.asks);
    this.updateId = snapshot.lastUpdateId;
    const waiting = this.#waiting.filter((change) => change.u >= this.updateId);
    this.#waiting = [];
    waiting.forEach((change) => this.#apply(change));
  }

  #take(change) {
    this.received += 1;
    if (change.U > this.updateId && change.pu !== this.updateId) this.updateId = 0; // a hole
    if (this.updateId === 0) this.#waiting.push(change);
    else if (change.u >= this.updateId) this.#apply(change);
  }

  #apply(change) {
    for (const [side, levels] of [[this.bids, change.b], [this.asks, change.a]]) {
      for (const [price, quantity] of levels) {
        if (Number(quantity) === 0) side.delete(price);
        else side.set(price, quantity);
      }
    }
    this.updateId = change.u;
  }
}

// The exchange of the tests.

let server, ready;

before(async () => {
  const options = ["test-server", "--json", "--quiet", "--symbols", "BTCUSDT"];
  server = spawn("tickerplant", options, { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(createInterface({ input: server.stdout }), "line");
  ready = JSON.parse(line);
});

after(async () => {
  server.stdin.end(); // it ends with its input, also if this program is killed
  await once(server, "exit");
});

async function plant(path, body, method = body ? "POST" : "GET") {
  const answer = await fetch(`${ready.venues.usdm.control}/${path}`, {
    method,
    headers: { Authorization: `Bearer ${ready.token}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const content = await answer.json();
  assert.ok(answer.ok, content.error);
  return content;
}

async function opened() {
  const { streams, rest } = ready.venues.usdm;
  const book = new OrderBook("BTCUSDT", streams, rest);
  await once(book.socket, "open");
  return book;
}

// Wait until the newest connection has received everything that was sent to it.
async function caughtUp(book) {
  const { connections } = await plant("truth/sent");
  const name = connections.at(-1).connection;
  const { sent } = await plant(`truth/sent?connection=${name}&limit=10000`);
  const messages = sent.filter(({ kind }) => kind === "text").length;
  while (book.received < messages) await new Promise((resolve) => setTimeout(resolve, 5));
}

// The tests.

async function assertTrue(book) {
  const truth = await plant(`truth/book?symbol=BTCUSDT&update_id=${book.updateId}`);
  const best = (side, sign) => [...side].sort(([a], [b]) => sign * (a - b)).slice(0, 100);
  assert.deepEqual(best(book.bids, -1), truth.bids.slice(0, 100));
  assert.deepEqual(best(book.asks, 1), truth.asks.slice(0, 100));
}

test("the book is the exchange's after ten seconds", async () => {
  const book = await opened();
  await plant("clock", { step: "1s" });
  await book.load();
  await plant("clock", { step: "10s" });
  await caughtUp(book);
  await assertTrue(book);
  book.socket.close();
});

test("the book finds a hole, and recovers from it", async () => {
  const book = await opened();
  await plant("clock", { step: "1s" });
  await book.load();
  await plant("faults", { kind: "drop", stream: "btcusdt@depth@100ms", once: true });
  await plant("clock", { step: "5s" });
  await plant("faults", undefined, "DELETE");
  await caughtUp(book);
  assert.equal(book.updateId, 0);
  await book.load();
  await plant("clock", { step: "5s" });
  await caughtUp(book);
  await assertTrue(book);
  book.socket.close();
});
