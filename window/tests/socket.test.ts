import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { StreamFeed, type Surroundings } from "../src/wire/socket.ts";

Object.assign(globalThis, { document: { baseURI: "http://house:9001/plant/#/market" } });

/** A WebSocket of which the test is the server. */
class Line {
  readonly url: string;
  readonly sent: { method: string; params: string[] }[] = [];
  isClosed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  constructor(url: string) {
    this.url = url;
  }

  /** How often it was asked whether anybody is there. */
  asked = 0;
  isAnswering = true;

  send(text: string): void {
    const request = JSON.parse(text);
    if (request.method !== "LIST_SUBSCRIPTIONS") this.sent.push(request);
    else {
      this.asked += 1;
      if (this.isAnswering) this.onmessage?.({ data: `{"result":[],"id":${request.id}}` });
    }
  }

  close(): void {
    this.isClosed = true;
  }

  say(stream: string, data: unknown, writtenMs = nowMs): void {
    const stamps = { event_ns: 0, publish_ns: 0, write_ns: writtenMs * 1e6 };
    this.onmessage?.({ data: JSON.stringify({ stream, data, stamps }) });
  }
}

let nowMs = 0;
let timers: { dueMs: number; action: () => void }[] = [];
let lines: Line[] = [];
let answersHttp = true;

function surroundings(): Surroundings {
  return {
    name: "a1b2c3d4",
    open: (url) => {
      const line = new Line(url);
      lines.push(line);
      return line as unknown as WebSocket;
    },
    now: () => nowMs,
    after: (delayMs, action) => {
      const timer = { dueMs: nowMs + delayMs, action };
      timers.push(timer);
      return () => {
        timers = timers.filter((each) => each !== timer);
      };
    },
    answersHttp: async () => answersHttp,
  };
}

function advance(byMs: number): void {
  const untilMs = nowMs + byMs;
  for (;;) {
    const due = timers.filter((each) => each.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0];
    if (due === undefined) break;
    timers = timers.filter((each) => each !== due);
    nowMs = due.dueMs;
    due.action();
  }
  nowMs = untilMs;
}

function line(): Line {
  const last = lines.at(-1);
  assert.ok(last, "a connection is open");
  return last;
}

function opened(): StreamFeed {
  const feed = new StreamFeed(surroundings());
  feed.start();
  line().onopen?.();
  return feed;
}

beforeEach(() => {
  nowMs = 1_000_000;
  timers = [];
  lines = [];
  answersHttp = true;
});

test("the connection is relative to the page", () => {
  opened();
  assert.equal(line().url, "ws://house:9001/plant/stream?stamps=1&window=a1b2c3d4");
});

test("subscriptions are counted and sent in batches", () => {
  const feed = opened();
  const got: unknown[] = [];
  const endOne = feed.subscribe("a@trade", (message) => got.push(message));
  const endTwo = feed.subscribe("a@trade", (message) => got.push(message));
  feed.subscribe("b@trade", () => undefined);
  advance(1_000);
  assert.deepEqual(
    line().sent.map(({ method, params }) => [method, params]),
    [["SUBSCRIBE", ["a@trade", "b@trade"]]],
  );
  line().say("a@trade", { p: "1" });
  assert.deepEqual(got, [{ p: "1" }, { p: "1" }]);
  endOne();
  advance(1_000);
  assert.equal(line().sent.length, 1);
  endTwo();
  advance(1_000);
  assert.deepEqual(line().sent.at(-1)?.method, "UNSUBSCRIBE");
});

test("a thousand streams are asked for within ten messages a second", () => {
  const feed = opened();
  for (let number = 0; number < 1_000; number += 1) feed.subscribe(`s${number}@trade`, () => {});
  advance(1_000);
  assert.ok(line().sent.length <= 5, `${line().sent.length} messages in a second`);
  advance(5_000);
  assert.equal(new Set(line().sent.flatMap(({ params }) => params)).size, 1_000);
});

test("after a loss the feed connects again, resets, and subscribes again", () => {
  const feed = opened();
  let resets = 0;
  feed.onReset(() => {
    resets += 1;
  });
  feed.subscribe("a@trade", () => undefined);
  advance(500);
  line().onclose?.({ code: 1006, reason: "" });
  assert.equal(feed.state.value.phase, "waiting");
  advance(2_000);
  assert.equal(lines.length, 2);
  line().onopen?.();
  assert.equal(resets, 1);
  assert.deepEqual(line().sent[0]?.params, ["a@trade"]);
});

test("a connection on which nothing comes is asked for an answer, and given up without one", () => {
  const feed = opened();
  advance(60_000);
  assert.ok(line().asked > 5, "it is asked");
  assert.equal(lines.length, 1, "a quiet market is no loss");
  assert.equal(feed.state.value.phase, "open");
  const [first] = lines;
  line().isAnswering = false;
  const before = line().asked;
  advance(9_000);
  assert.equal(feed.state.value.isSilent, true);
  advance(5_000);
  assert.equal(feed.state.value.phase, "open");
  assert.equal(line().asked, before + 1, "one question at a time");
  advance(2_000);
  assert.equal(first?.isClosed, true);
  assert.match(feed.state.value.reason, /^Nothing comes any more/);
  advance(1_000);
  assert.equal(lines.length, 2, "it connects again");
});

test("a handshake that nobody answers is given up", async () => {
  const feed = new StreamFeed(surroundings());
  answersHttp = false;
  feed.start();
  advance(9_000);
  assert.equal(feed.state.value.phase, "connecting");
  advance(1_100);
  await Promise.resolve();
  assert.equal(feed.state.value.phase, "waiting");
});

test("attempts become rarer, and it is said whether the server answers at all", async () => {
  const feed = new StreamFeed(surroundings());
  feed.start();
  answersHttp = false;
  for (let attempt = 0; attempt < 10; attempt += 1) {
    line().onclose?.({ code: 1006, reason: "" });
    await Promise.resolve();
    const closedMs = nowMs;
    const count = lines.length;
    while (lines.length === count) advance(100);
    assert.ok(nowMs - closedMs <= 13_000, `${nowMs - closedMs} ms later`);
  }
  const before = lines.length;
  line().onclose?.({ code: 1006, reason: "" });
  await new Promise((done) => setImmediate(done));
  assert.equal(feed.state.value.reason, "The server does not answer");
  advance(7_000);
  assert.equal(lines.length, before, "not again within seven seconds");
});

test("the end of the market is told from a loss", () => {
  const feed = opened();
  line().onclose?.({ code: 1000, reason: "The market is over" });
  assert.equal(feed.state.value.phase, "over");
  assert.equal(feed.state.value.reason, "The market is over");
});

test("a page that stays behind asks for the latest state only", () => {
  const feed = opened();
  line().say("a@trade", {});
  for (let second = 0; second < 6 && lines.length === 1; second += 1) {
    advance(999);
    line().say("a@trade", {}, nowMs - 1_500);
    advance(1);
  }
  assert.equal(lines.length, 2);
  assert.equal(line().url, "ws://house:9001/plant/stream?stamps=1&window=a1b2c3d4&delivery=latest");
  assert.equal(feed.state.value.isConflated, true);
});

test("a page that keeps up again gets every message again, later after each relapse", () => {
  const feed = opened();
  for (const waitS of [60, 120, 240]) {
    line().say("a@trade", {});
    for (let second = 0; second < 5; second += 1) {
      advance(999);
      line().say("a@trade", {}, nowMs - 1_500);
      advance(1);
    }
    assert.equal(feed.state.value.isConflated, true, `it is behind before ${waitS} s`);
    line().onopen?.();
    for (let second = 0; second < waitS; second += 1) {
      assert.equal(feed.state.value.isConflated, true, `after ${second} of ${waitS} s`);
      line().say("a@trade", {});
      advance(1_000);
    }
    assert.equal(feed.state.value.isConflated, false, `after ${waitS} s`);
    line().onopen?.();
  }
});

test("a page whose timers starve notices that it is behind when messages come", () => {
  const feed = opened();
  line().say("a@trade", {});
  for (let message = 0; message < 4 && lines.length === 1; message += 1) {
    nowMs += 2_000;
    line().say("a@trade", {}, nowMs - 1_500);
  }
  assert.equal(lines.length, 2);
  assert.equal(feed.state.value.isConflated, true);
});

test("a clock that differs from the server's is no lag", () => {
  const feed = opened();
  for (let second = 0; second < 6; second += 1) {
    line().say("a@trade", {}, nowMs - 50_000);
    advance(1_000);
  }
  assert.equal(lines.length, 1);
  assert.equal(feed.state.value.lagMs, 0);
});

test("a hidden page disconnects after ten seconds and is back when it is shown", () => {
  const feed = opened();
  feed.show(false);
  advance(9_000);
  assert.equal(line().isClosed, false);
  feed.show(true);
  advance(60_000);
  assert.equal(feed.state.value.phase, "open");
  feed.show(false);
  advance(11_000);
  assert.equal(feed.state.value.phase, "hidden");
  assert.equal(line().isClosed, true);
  advance(600_000);
  assert.equal(lines.length, 1);
  feed.show(true);
  assert.equal(lines.length, 2);
});

test("an event time that goes back resets, once", () => {
  const feed = opened();
  let resets = 0;
  feed.onReset(() => {
    resets += 1;
  });
  for (const E of [10_000, 20_000, 19_500, 5_000, 6_000]) line().say("a@trade", { E });
  assert.equal(resets, 1);
});

test("a message that is wrong, or an error of the server, is said for a while and nothing is lost", () => {
  const feed = opened();
  let count = 0;
  feed.subscribe("a@trade", (message) => {
    if (message === null) throw new Error("no price");
    count += 1;
  });
  for (const data of ["{broken", "null", "[1]", "5"]) {
    line().onmessage?.({ data });
    assert.equal(feed.state.value.reason, "The server sent a message that is no JSON object.");
    advance(20_000);
    assert.equal(feed.state.value.reason, "", "it is not said for ever");
  }
  line().onmessage?.({ data: '{"error":{"code":2,"msg":"<b>no</b>"},"id":1}' });
  assert.equal(feed.state.value.reason, "The server said: <b>no</b>");
  line().say("a@trade", null);
  assert.match(feed.state.value.reason, /^A message of a@trade cannot be read.*no price/);
  line().onmessage?.({ data: '{"stream":5,"data":{}}' });
  line().say("a@trade", {});
  assert.equal(count, 1);
});

test("without WebSocket it is said, and nothing is tried", () => {
  const feed = new StreamFeed({ ...surroundings(), open: null });
  feed.start();
  feed.show(false);
  advance(60_000);
  assert.equal(feed.state.value.phase, "unsupported");
});

test("messages that are not as expected are passed over", () => {
  const feed = opened();
  const got: unknown[] = [];
  feed.subscribe("a@trade", (message) => got.push(message));
  for (const data of [
    "null",
    "1",
    '"text"',
    "[]",
    '{"stream":5}',
    '{"stream":"a@trade","stamps":{}}',
  ]) {
    line().onmessage?.({ data });
  }
  line().onmessage?.({ data: '{"error":{"code":1,"msg":{"html":"<b>"}}}' });
  assert.equal(typeof feed.state.value.reason, "string");
  advance(1_000);
  assert.equal(feed.state.value.lagMs, 0);
  assert.deepEqual(got, [undefined]);
});

test("times that jump to and fro reset at most every two seconds", () => {
  const feed = opened();
  let resets = 0;
  feed.onReset(() => {
    resets += 1;
  });
  for (let times = 0; times < 100; times += 1) {
    line().say("a@trade", { E: times % 2 === 0 ? 9_000_000 : 1_000 });
    advance(100);
  }
  assert.ok(resets >= 2 && resets <= 6, `${resets} resets in 10 s`);
});
