import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Clients,
  type Connection,
  type ConnectionsPage,
  isOwn,
  matching,
} from "../src/rooms/plant/clients.ts";

globalThis.requestAnimationFrame = () => 0;

const CONNECTION: Connection = {
  id: "c1",
  worker: "plant",
  venue: "usdm",
  address: "127.0.0.1",
  path: "/ws/btcusdt@trade",
  user_agent: "bot/1",
  opened_ms: 5,
  opened_market_ms: 5,
  kind: "raw",
  stream_count: 1,
  streams: ["btcusdt@trade"],
  delivery: "every",
  stamps: false,
  messages: 0,
  bytes: 0,
  limits: {
    messages: { used: 0, limit: 15 },
    streams: { used: 1, limit: 1_024 },
    age_ms: { used: 0, limit: 86_400_000 },
  },
  unsent_bytes: 0,
  held: false,
  waiting_messages: 0,
  waiting_bytes: 0,
  conflated: 0,
  dropped: 0,
};

function page(...changes: Partial<Connection>[]): ConnectionsPage {
  const connections = changes.map((each) => ({ ...CONNECTION, ...each }));
  return { total: connections.length, deliveries: {}, connections, closed: [] };
}

/** A connection as it was when it was so old. */
function at(ageMs: number, change: Partial<Connection>): Partial<Connection> {
  return {
    ...change,
    limits: { ...CONNECTION.limits, age_ms: { used: ageMs, limit: 86_400_000 } },
  };
}

test("the rates of a client are the differences of two reports", () => {
  const clients = new Clients("a1b2c3d4");
  clients.take(page(at(500, { messages: 100, bytes: 9_000 })), 1_000);
  assert.ok(Number.isNaN(clients.clients[0]?.messagesPerS));
  clients.take(page(at(2_500, { messages: 160, bytes: 15_000 })), 3_000);
  assert.equal(clients.clients[0]?.messagesPerS, 30);
  assert.equal(clients.clients[0]?.bytesPerS, 3_000);
});

test("a report that was made before the last question leaves the rates as they are", () => {
  const clients = new Clients("a1b2c3d4");
  clients.take(page(at(500, { messages: 100 })), 1_000);
  clients.take(page(at(1_500, { messages: 140 })), 3_000);
  clients.take(page(at(1_500, { messages: 140 })), 5_000);
  assert.equal(clients.clients[0]?.messagesPerS, 40);
});

test("a connection of the same id after a restart is another one", () => {
  const clients = new Clients("a1b2c3d4");
  clients.take(page(at(500, { messages: 100 })), 1_000);
  clients.take(page(at(2_500, { messages: 500, opened_ms: 900 })), 3_000);
  assert.ok(Number.isNaN(clients.clients[0]?.messagesPerS));
});

test("connections of two processes with one id have rates of their own", () => {
  const clients = new Clients("a1b2c3d4");
  const both = (ageMs: number, one: number, two: number): ConnectionsPage =>
    page(at(ageMs, { worker: "1", messages: one }), at(ageMs, { worker: "2", messages: two }));
  clients.take(both(500, 0, 10), 1_000);
  clients.take(both(2_500, 8, 10), 3_000);
  assert.deepEqual(
    clients.clients.map((each) => each.messagesPerS),
    [4, 0],
  );
});

test("the connection of this page is told from that of another page", () => {
  const clients = new Clients("a1b2c3d4");
  assert.equal(clients.isAlone, true);
  clients.take(page({ path: "/stream?stamps=1&window=a1b2c3d4" }), 1_000);
  assert.equal(clients.isAlone, true);
  const other = { path: "/stream?stamps=1&window=ffffffff&delivery=latest" };
  clients.take(page({ path: "/stream?stamps=1&window=a1b2c3d4" }, other), 2_000);
  assert.deepEqual(
    clients.clients.map((each) => each.isOwn),
    [true, false],
  );
  assert.equal(clients.isAlone, false);
  assert.equal(isOwn("/ws/window=a1b2c3d4", "a1b2c3d4"), false);
});

test("clients are found by words in any field of text, whatever their case", () => {
  const clients = new Clients("a1b2c3d4");
  clients.take(
    page(
      { id: "c1", user_agent: "Bot/1 <script>", address: "10.0.0.7" },
      { id: "c2", streams: ["ethusdt@depth"], path: "/stream?window=a1b2c3d4" },
    ),
    1_000,
  );
  const found = (words: string): string[] =>
    matching(clients.clients, words).map((each) => each.connection.id);
  assert.deepEqual(found(""), ["c1", "c2"]);
  assert.deepEqual(found("BOT 10.0"), ["c1"]);
  assert.deepEqual(found("<script>"), ["c1"]);
  assert.deepEqual(found("ETHusdt"), ["c2"]);
  assert.deepEqual(found("this window"), ["c2"]);
  assert.deepEqual(found("script ethusdt"), []);
});
