import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import {
  BookFeed,
  FEW_LEVELS,
  LONGEST_RESYNC_MS,
  SETTLED_MS,
  SNAPSHOT_LEVELS,
} from "../src/market/book_feed.ts";
import type { DepthSnapshot } from "../src/wire/messages.ts";

let nowMs = 0;
let timers: { dueMs: number; action: () => void }[] = [];
let asked: { answer: (snapshot: DepthSnapshot) => void; refuse: (error: Error) => void }[] = [];
let onReset = (): void => undefined;
let say = (_: unknown): void => undefined;

function feedOf(): BookFeed {
  const feed = new BookFeed(
    {
      request: () => new Promise((answer, refuse) => asked.push({ answer, refuse })),
      subscribe: (stream, handler) => {
        assert.equal(stream, "btcusdt@depth@100ms");
        say = handler;
        return () => undefined;
      },
      onReset: (callback) => {
        onReset = callback;
        return () => undefined;
      },
      after: (delayMs, action) => {
        const timer = { dueMs: nowMs + delayMs, action };
        timers.push(timer);
        return () => {
          timers = timers.filter((each) => each !== timer);
        };
      },
    },
    "BTCUSDT",
    () => undefined,
  );
  feed.start();
  return feed;
}

async function advance(byMs: number): Promise<void> {
  nowMs += byMs;
  const due = timers.filter((each) => each.dueMs <= nowMs);
  timers = timers.filter((each) => each.dueMs > nowMs);
  for (const each of due) each.action();
  await settled();
}

function settled(): Promise<void> {
  return new Promise((done) => setImmediate(done));
}

function snapshotOf(lastUpdateId: number, levels = 1): DepthSnapshot {
  const rows = (from: number, step: number): [string, string][] =>
    Array.from({ length: levels }, (_, n) => [String(from + n * step), "1"]);
  return { lastUpdateId, bids: rows(10_000, -1), asks: rows(10_001, 1) };
}

async function answer(snapshot: DepthSnapshot): Promise<void> {
  asked.at(-1)?.answer(snapshot);
  await settled();
}

beforeEach(() => {
  nowMs = 0;
  timers = [];
  asked = [];
});

test("the stream has a head start, then the snapshot is asked for, once", async () => {
  const feed = feedOf();
  assert.equal(asked.length, 0);
  await advance(1_000);
  await advance(60_000);
  assert.equal(asked.length, 1);
  await answer(snapshotOf(10));
  assert.equal(feed.book.state, "live");
  assert.equal(feed.reason, "");
});

test("after a hole the book is loaded again, and that is said", async () => {
  const feed = feedOf();
  await advance(1_000);
  await answer(snapshotOf(10));
  say({ E: 1, s: "BTCUSDT", U: 20, u: 21, pu: 19, b: [], a: [] });
  assert.equal(feed.book.state, "waiting");
  assert.equal(feed.reason, "an update is missing");
  await advance(1_000);
  await answer(snapshotOf(21));
  assert.equal(feed.book.state, "live");
  assert.equal(feed.resyncs, 1);
});

test("refused snapshots are asked for again, ever more rarely, and the reason is said", async () => {
  const feed = feedOf();
  await advance(1_000);
  for (const pauseMs of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    const before = asked.length;
    asked.at(-1)?.refuse(new Error("Too many requests"));
    await settled();
    assert.equal(feed.reason, "Too many requests");
    await advance(pauseMs - 1);
    assert.equal(asked.length, before, `not within ${pauseMs} ms`);
    await advance(1);
    assert.equal(asked.length, before + 1);
  }
});

test("an answer to a question of before a reset is not used", async () => {
  const feed = feedOf();
  await advance(1_000);
  onReset();
  await advance(1_000);
  assert.equal(asked.length, 2);
  asked[0]?.answer(snapshotOf(999));
  await settled();
  assert.equal(feed.book.state, "waiting");
  await answer(snapshotOf(10));
  assert.equal(feed.book.updateId, 10);
});

test("a side that is nearly used up is deepened, without losing sync", async () => {
  const feed = feedOf();
  await advance(1_000);
  await answer(snapshotOf(10, SNAPSHOT_LEVELS));
  const gone = Array.from({ length: SNAPSHOT_LEVELS - FEW_LEVELS + 1 }, (_, n) => [
    String(10_000 - n),
    "0",
  ]);
  say({ E: 1, s: "BTCUSDT", U: 11, u: 12, pu: 10, b: gone, a: [] });
  assert.equal(feed.book.state, "live");
  await advance(1_000);
  assert.equal(asked.length, 2);
  await answer(snapshotOf(12, SNAPSHOT_LEVELS));
  assert.equal(feed.book.bids.levels.length, SNAPSHOT_LEVELS);
});

test("a small book is not deepened again and again", async () => {
  feedOf();
  await advance(1_000);
  await answer(snapshotOf(10, 20));
  for (let u = 11; u < 100; u += 1) say({ E: u, s: "BTCUSDT", U: u, u, pu: u - 1, b: [], a: [] });
  await advance(60_000);
  assert.equal(asked.length, 1);
});

test("nothing is asked for after the end", async () => {
  const feed = feedOf();
  feed.end();
  await advance(60_000);
  assert.equal(asked.length, 0);
});

test("holes that follow each other make snapshots rarer, until the book has stayed in sync", async () => {
  const feed = feedOf();
  await advance(1_000);
  let u = 10;
  await answer(snapshotOf(u));
  const hole = (): void => {
    u += 10;
    say({ E: u, s: "BTCUSDT", U: u, u, pu: u - 1, b: [], a: [] });
    assert.equal(feed.book.state, "waiting");
  };
  for (const pauseMs of [400, 800, 1_600, LONGEST_RESYNC_MS, LONGEST_RESYNC_MS]) {
    hole();
    const before = asked.length;
    await advance(pauseMs - 1);
    assert.equal(asked.length, before, `not within ${pauseMs} ms`);
    await advance(1);
    assert.equal(asked.length, before + 1);
    await answer(snapshotOf(u));
    assert.equal(feed.book.state, "live");
  }
  await advance(SETTLED_MS);
  hole();
  const before = asked.length;
  await advance(400);
  assert.equal(asked.length, before + 1);
});

test("a feed that is started again asks for a new snapshot, whatever it had", async () => {
  const feed = feedOf();
  await advance(1_000);
  await answer(snapshotOf(10));
  feed.end();
  feed.start();
  assert.equal(feed.book.state, "waiting");
  assert.equal(feed.reason, "waiting for a snapshot");
  await advance(1_000);
  assert.equal(asked.length, 2);
  await answer(snapshotOf(500));
  assert.equal(feed.book.state, "live");
  assert.equal(feed.book.updateId, 500);
});
