import assert from "node:assert/strict";
import { test } from "node:test";
import { Desk, MOST_DONE } from "../src/rooms/control/desk.ts";
import {
  failures,
  inOrder,
  nextChange,
  progressAt,
  type Scenario,
  startableFirst,
} from "../src/rooms/control/scenario.ts";
import { PlantError } from "../src/wire/plant.ts";

test("what was done is listed, the latest first, with what takes it back", async () => {
  const desk = new Desk();
  const undone: string[] = [];
  for (let n = 0; n < MOST_DONE + 3; n++) {
    const undo = () => ({ label: "Turn off", run: async () => undone.push(`f${n}`) });
    const isDone = await desk.carryOut({ place: "form", run: async () => n, said: String, undo });
    assert.ok(isDone);
  }
  const texts = desk.done.value.map(({ text }) => text);
  assert.deepEqual([texts.length, texts[0]], [MOST_DONE, String(MOST_DONE + 2)]);
  await desk.done.value[0]?.undo?.run();
  assert.deepEqual(undone, [`f${MOST_DONE + 2}`]);
  for (const to of ["a", "b"]) {
    await desk.carryOut({ place: "seek", run: async () => to, said: String, topic: "clock" });
  }
  assert.deepEqual(
    desk.done.value.slice(0, 2).map(({ text }) => text),
    ["b", String(MOST_DONE + 2)],
    "a line replaces another one of its topic",
  );
  desk.dismiss(desk.done.value[0]?.id ?? 0);
  assert.equal(desk.done.value.length, MOST_DONE - 1);
});

test("what is refused is kept for its place until that is changed, and nothing is listed", async () => {
  const desk = new Desk();
  const refused = async () => {
    throw new PlantError(400, "invalid value 'x' for <b>move</b>", "move");
  };
  assert.ok(!(await desk.carryOut({ place: "lever", run: refused, said: () => "done" })));
  assert.deepEqual(desk.problem("lever"), {
    field: "move",
    message: "invalid value 'x' for <b>move</b>",
  });
  assert.equal(desk.problem("fault"), undefined);
  assert.deepEqual(desk.done.value, []);
  desk.forgive("lever");
  assert.equal(desk.problem("lever"), undefined);
  const broken = async () => {
    throw new TypeError("network");
  };
  await desk.carryOut({ place: "lever", run: broken, said: () => "" });
  assert.equal(desk.problem("lever")?.field, "");
  await desk.carryOut({ place: "lever", run: async () => 1, said: () => "" });
  assert.equal(desk.problem("lever"), undefined, "what was done forgives what was refused");
});

test("what was done at a server is not taken back at the next one", async () => {
  const desk = new Desk();
  desk.serve(1_000);
  await desk.carryOut({ place: "a", run: async () => 1, said: () => "done" });
  desk.serve(1_000);
  assert.equal(desk.done.value.length, 1);
  desk.serve(2_000);
  assert.equal(desk.done.value.length, 0);
});

test("a place that waits for an answer asks only once", async () => {
  const desk = new Desk();
  let asked = 0;
  let answer = (): void => undefined;
  const run = async (): Promise<void> => {
    asked += 1;
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
  };
  const first = desk.carryOut({ place: "a", run, said: () => "" });
  assert.ok(desk.isBusy("a"));
  assert.ok(!(await desk.carryOut({ place: "a", run, said: () => "" })));
  answer();
  await first;
  assert.deepEqual([asked, desk.isBusy("a")], [1, false]);
});

const SCENARIO: Scenario = {
  id: "s1",
  name: "flash-crash",
  title: "Flash crash",
  state: "running",
  stopped: false,
  start_ms: 1_000,
  end_ms: 11_000,
  done: 1,
  to_come: 1,
  changes: [
    { time_ms: 1_000, text: "market shock", state: "failed", reason: "no such symbol" },
    { time_ms: 6_000, text: "reset", state: "to come", reason: "" },
  ],
};

test("a scenario says how far it is and what comes next", () => {
  assert.deepEqual(
    [0, 6_000, 99_000].map((ms) => progressAt(SCENARIO, ms)),
    [0, 0.5, 1],
  );
  assert.equal(nextChange(SCENARIO)?.text, "reset");
  assert.equal(failures(SCENARIO)[0]?.reason, "no such symbol");
  const over = { ...SCENARIO, id: "s0", state: "over" as const };
  assert.equal(progressAt(over, 0), 1);
  assert.equal(progressAt({ ...over, stopped: true }, 6_000), 0.5);
  const ordered = inOrder({ scenarios: [over, { ...over, id: "s2" }, SCENARIO], library: [] });
  assert.deepEqual(
    [ordered.on.map(({ id }) => id), ordered.over.map(({ id }) => id)],
    [["s1"], ["s2", "s0"]],
  );
});

test("what can be started here comes first in the library", () => {
  const library = ["a", "b", "c"].map((name, n) => ({
    name,
    title: "",
    here: "",
    duration_ms: 1,
    needs_simulation: n < 2,
  }));
  const names = (isSimulated: boolean): string[] =>
    startableFirst(library, isSimulated).map(({ name }) => name);
  assert.deepEqual(
    [names(true), names(false)],
    [
      ["a", "b", "c"],
      ["c", "a", "b"],
    ],
  );
});
