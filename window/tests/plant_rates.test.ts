import assert from "node:assert/strict";
import { test } from "node:test";
import { Rates } from "../src/rooms/plant/rates.ts";

const rates = (...readings: [Record<string, number>, number][]): Record<string, number> => {
  const all = new Rates();
  let last = new Map<string, number>();
  for (const [counters, atMs] of readings) {
    last = all.take(Object.entries(counters).map(([name, value]) => ({ name, value, atMs })));
  }
  return Object.fromEntries(last);
};

test("a rate is what a counter gained by the seconds between two readings", () => {
  assert.deepEqual(rates([{ a: 100, b: 5 }, 1_000], [{ a: 400, b: 5 }, 3_000]), { a: 150, b: 0 });
});

test("a counter has no rate before its second reading", () => {
  assert.deepEqual(rates([{ a: 100 }, 1_000]), {});
  assert.deepEqual(rates([{ a: 100 }, 1_000], [{ a: 100, b: 7 }, 2_000]), { a: 0 });
});

test("a counter that is smaller has begun again: what it has was gained since", () => {
  assert.deepEqual(rates([{ a: 5_000 }, 1_000], [{ a: 60 }, 3_000]), { a: 30 });
});

test("a counter that was missing is as new", () => {
  assert.deepEqual(rates([{ a: 10 }, 1_000], [{}, 2_000], [{ a: 30 }, 3_000]), {});
});

test("a counter that was not read again keeps its rate", () => {
  const [first, second] = [[{ a: 10 }, 1_000] as const, [{ a: 30 }, 3_000] as const];
  assert.deepEqual(rates([...first], [...second], [...second]), { a: 10 });
  assert.deepEqual(rates([...first], [...first]), {}, "and nothing is divided by 0");
});

test("a counter that begins again in the time of the reading before has no rate", () => {
  assert.deepEqual(rates([{ a: 10 }, 1_000], [{ a: 3 }, 1_000]), {});
});
