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

test("the rates of a client are the differences of two reports", () => {
  const clients = new Clients("a1b2c3d4");
  clients.take(page({ messages: 100, bytes: 9_000 }), 1_000);
  assert.ok(Number.isNaN(clients.clients[0]?.messagesPerS));
  clients.take(page({ messages: 160, bytes: 15_000 }), 3_000);
  assert.equal(clients.clients[0]?.messagesPerS, 30);
  assert.equal(clients.clients[0]?.bytesPerS, 3_000);
});

test("a connection of the same id after a restart is another one", () => {
  const clients = new Clients("a1b2c3d4");
  clients.take(page({ messages: 100 }), 1_000);
  clients.take(page({ messages: 500, opened_ms: 900 }), 3_000);
  assert.ok(Number.isNaN(clients.clients[0]?.messagesPerS));
});

test("connections of two processes with one id have rates of their own", () => {
  const clients = new Clients("a1b2c3d4");
  clients.take(page({ worker: "1", messages: 0 }, { worker: "2", messages: 10 }), 1_000);
  clients.take(page({ worker: "1", messages: 8 }, { worker: "2", messages: 10 }), 3_000);
  assert.deepEqual(
    clients.clients.map((each) => each.messagesPerS),
    [4, 0],
  );
});

test("an old report is not taken twice", () => {
  const clients = new Clients("a1b2c3d4");
  clients.take(page({ messages: 0 }), 1_000);
  clients.take(page({ messages: 8 }), 3_000);
  clients.take(page({ messages: 8 }), 3_000);
  assert.equal(clients.clients[0]?.messagesPerS, 4);
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
