import assert from "node:assert/strict";
import { test } from "node:test";
import { AGAIN_MS, SPACING_MS, SparkQueue } from "../src/rooms/market/spark_queue.ts";

/** A clock that is set by hand, and requests that take a while. */
class World {
  nowMs = 0;
  speed = 1;
  latencyMs = 20;
  isVisible = true;
  failing = false;
  asked: { symbol: string; atMs: number }[] = [];
  atOnce = 0;
  mostAtOnce = 0;
  readonly #timers: { atMs: number; action: () => void }[] = [];
  readonly queue = new SparkQueue(
    {
      request: (symbol) => {
        this.asked.push({ symbol, atMs: this.nowMs });
        this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
        return new Promise((answer, refuse) => {
          this.after(this.latencyMs, () => {
            this.atOnce -= 1;
            if (this.failing) refuse(new Error("the server did not answer"));
            else answer([1, 2, 3]);
          });
        });
      },
      now: () => this.nowMs,
      marketNow: () => this.nowMs * this.speed,
      after: (delayMs, action) => this.after(delayMs, action),
      isShown: () => this.isVisible,
    },
    () => {},
  );

  after(delayMs: number, action: () => void): void {
    this.#timers.push({ atMs: this.nowMs + delayMs, action });
  }

  async pass(lengthMs: number): Promise<void> {
    const endMs = this.nowMs + lengthMs;
    for (;;) {
      for (let i = 0; i < 8; i++) await Promise.resolve();
      this.#timers.sort((a, b) => a.atMs - b.atMs);
      const next = this.#timers[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#timers.shift();
      this.nowMs = next.atMs;
      next.action();
    }
    this.nowMs = endMs;
  }
}

const symbols = Array.from({ length: 40 }, (_, i) => `S${i}`);

test("requests go one at a time, at most four a second, each symbol once", async () => {
  const world = new World();
  world.queue.want(symbols);
  await world.pass(60_000);
  assert.deepEqual(
    world.asked.map(({ symbol }) => symbol),
    symbols,
  );
  assert.equal(world.mostAtOnce, 1);
  for (let i = 1; i < world.asked.length; i++) {
    const gapMs = (world.asked[i]?.atMs ?? 0) - (world.asked[i - 1]?.atMs ?? 0);
    assert.ok(gapMs >= SPACING_MS, String(gapMs));
  }
});

test("what is no longer seen is not asked for", async () => {
  const world = new World();
  world.queue.want(symbols);
  await world.pass(1_000);
  const before = world.asked.length;
  world.queue.want(["LATER"]);
  await world.pass(10_000);
  assert.deepEqual(
    world.asked.slice(before).map(({ symbol }) => symbol),
    ["LATER"],
  );
});

test("a symbol is asked for again after an hour of the market, not sooner than after a while", async () => {
  const world = new World();
  world.queue.want(["A"]);
  await world.pass(AGAIN_MS);
  world.queue.want(["A"]);
  await world.pass(1_000);
  assert.equal(world.asked.length, 1);
  world.speed = 3_600;
  for (let i = 0; i < 10; i++) {
    world.queue.want(["A"]);
    await world.pass(AGAIN_MS / 2);
  }
  assert.ok(world.asked.length >= 4 && world.asked.length <= 7, String(world.asked.length));
});

test("a failure is shown as no course, and tried again later", async () => {
  const world = new World();
  world.failing = true;
  world.queue.want(["A"]);
  await world.pass(1_000);
  assert.deepEqual(world.queue.closes("A"), []);
  world.failing = false;
  await world.pass(AGAIN_MS);
  world.queue.want(["A"]);
  await world.pass(1_000);
  assert.deepEqual(world.queue.closes("A"), [1, 2, 3]);
});

test("a hidden page asks for nothing", async () => {
  const world = new World();
  world.isVisible = false;
  world.queue.want(symbols);
  await world.pass(10_000);
  assert.equal(world.asked.length, 0);
});

test("after a reset the course is asked for again, and the old one stays until then", async () => {
  const world = new World();
  world.queue.want(["A"]);
  await world.pass(AGAIN_MS + 100);
  world.queue.reset();
  assert.deepEqual(world.queue.closes("A"), [1, 2, 3]);
  world.queue.want(["A"]);
  await world.pass(1_000);
  assert.equal(world.asked.length, 2);
});
