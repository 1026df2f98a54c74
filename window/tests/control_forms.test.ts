import assert from "node:assert/strict";
import { test } from "node:test";
import {
  bodyOf,
  type FaultsPage,
  faultFields,
  type LeverKind,
  leverFields,
  ONE_CLICKS,
  rulesOf,
} from "../src/rooms/control/forms.ts";

const DROP: NonNullable<FaultsPage["kinds"]>[number] = {
  name: "drop",
  acts_on: "message",
  doc: "Connections miss messages.",
  form: "drop=SHARE",
  lasts: false,
  params: [
    {
      name: "share",
      doc: "The share.",
      kind: "share",
      expected: "0 to 1",
      required: true,
      choices: [],
    },
    { name: "of", doc: "What.", kind: "choice", expected: "", required: false, choices: ["a", 5] },
  ],
  aims: ["stream", "venue"],
};

function page(rules: FaultsPage["rules"] = []): FaultsPage {
  return {
    seed: 1,
    clock: "market",
    rules,
    counts: {},
    kinds: [DROP],
    aims: [
      { name: "venue", doc: "The venue." },
      { name: "stream", doc: "A stream." },
      { name: "path", doc: "A path." },
    ],
    windows: [
      { name: "for", doc: "How long." },
      { name: "once", doc: "Once." },
    ],
  };
}

function rule(id: string, state: "on" | "over", given: Record<string, string>) {
  const rule = given as FaultsPage["rules"][number]["rule"];
  return {
    id,
    kind: given.kind ?? "",
    text: "",
    rule,
    state,
    hits: 0,
    opens_ms: 0,
    ends_ms: null,
    hint: "",
  };
}

test("the form of a fault has its parameters, its own aims and the window", () => {
  const groups = faultFields(page(), DROP);
  assert.deepEqual(
    groups.map(({ fields }) => fields.map(({ name }) => name)),
    [
      ["share", "of"],
      ["venue", "stream"],
      ["for", "once"],
    ],
  );
  const fields = groups.flatMap((group) => group.fields);
  assert.deepEqual(
    fields.filter(({ isRequired }) => isRequired).map(({ name }) => name),
    ["share"],
  );
  assert.deepEqual(fields[1]?.choices, ["a", "5"]);
  assert.deepEqual(fields[2]?.choices, ["usdm", "coinm"]);
});

test("what is empty is not sent, nor what belongs to another kind", () => {
  const groups = faultFields(page(), DROP);
  const values = { share: " 0.1 ", stream: "", for: "  ", path: "/fapi", venue: "usdm" };
  assert.deepEqual(bodyOf(groups, values), { share: "0.1", venue: "usdm" });
});

test("numbers, flags and symbols of a lever are sent as what they are", () => {
  const param = { doc: "", default: null, least: 0, most: 0, choices: [] };
  const kind: LeverKind = {
    name: "shock",
    doc: "",
    params: [
      { ...param, name: "move", kind: "number", least: -0.9, most: 9 },
      { ...param, name: "over", kind: "duration", default: "40s" },
      { ...param, name: "stays", kind: "flag", default: false },
    ],
    has_duration: true,
    symbols: "all",
  };
  const groups = leverFields(kind);
  const fields = groups.flatMap((group) => group.fields);
  assert.deepEqual(
    fields.filter(({ isRequired }) => isRequired).map(({ name }) => name),
    ["move"],
  );
  assert.equal(fields[0]?.expected, "a number from -0.9 to 9");
  const values = {
    move: "-0.12",
    over: "5s",
    stays: "false",
    symbols: "BTCUSDT, ETHUSDT",
    for: "",
  };
  assert.deepEqual(bodyOf(groups, values), {
    move: -0.12,
    over: "5s",
    stays: false,
    symbols: ["BTCUSDT", "ETHUSDT"],
  });
  assert.equal(bodyOf(groups, { move: "a lot" }).move, "a lot", "the server says what is wrong");
  const named = leverFields({ ...kind, symbols: "named", has_duration: false });
  assert.ok(named[2]?.fields[0]?.isRequired);
  assert.deepEqual(
    named.map(({ title }) => title),
    ["Parameters", "Further parameters", "Where"],
  );
});

test("one click knows the rules that it turned on, whatever the order of their keys", () => {
  const ban = ONE_CLICKS.find(({ id }) => id === "ban");
  assert.ok(ban);
  const rules = [
    rule("f1", "on", { for: "30s", kind: "http_418" }),
    rule("f2", "on", { kind: "ban_handshakes", for: "30s" }),
    rule("f3", "over", { kind: "http_418", for: "30s" }),
    rule("f4", "on", { kind: "http_418", for: "1m" }),
  ];
  assert.deepEqual(rulesOf(ban, page(rules)), ["f1", "f2"]);
  assert.deepEqual(rulesOf(ban, undefined), []);
});
