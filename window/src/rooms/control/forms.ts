/** Forms of faults and levers: their fields, from what the server lists, and what is sent. */
import type { Got } from "../../wire/plant.ts";

export type FaultsPage = Got<"/plant/v1/faults">;
export type FaultKind = NonNullable<FaultsPage["kinds"]>[number];
export type LeversPage = Got<"/plant/v1/levers">;
export type LeverKind = LeversPage["kinds"][number];

export interface FormField {
  readonly name: string;
  readonly doc: string;
  /** What a value has to be. */
  readonly expected: string;
  readonly isRequired: boolean;
  /** The only values; empty if there are others. */
  readonly choices: readonly string[];
  /** How the text is sent. */
  readonly as: "text" | "number" | "flag" | "list";
}

export interface FieldGroup {
  readonly title: string;
  readonly fields: readonly FormField[];
}

export type Values = Readonly<Record<string, string>>;

const plain = { expected: "", isRequired: false, choices: [], as: "text" } as const;
const VENUES = ["usdm", "coinm"];

/** Return the fields of a kind of fault: its parameters, its aim, its window. */
export function faultFields(page: FaultsPage, kind: FaultKind): readonly FieldGroup[] {
  const params = kind.params.map((each): FormField => {
    const { name, doc, expected, required, choices } = each;
    return { name, doc, expected, isRequired: required, choices: choices.map(String), as: "text" };
  });
  const aims = (page.aims ?? [])
    .filter(({ name }) => kind.aims.includes(name))
    .map((each): FormField => {
      const choices = each.name === "venue" ? VENUES : [];
      return { ...plain, ...each, choices };
    });
  const windows = (page.windows ?? []).map((each): FormField => {
    const choices = each.name === "once" ? ["true"] : [];
    return { ...plain, ...each, choices };
  });
  return [
    { title: "Parameters", fields: params },
    { title: "Aim: everything if empty", fields: aims },
    { title: "When", fields: windows },
  ].filter(({ fields }) => fields.length > 0);
}

/** Return the fields of a lever. */
export function leverFields(kind: LeverKind): readonly FieldGroup[] {
  const params = kind.params.map((each): FormField => {
    const { name, doc, default: standard, least = 0, most = 0, choices = [] } = each;
    const bounds = each.kind === "number" ? `from ${least} to ${most}` : "";
    const expected = {
      number: `a number ${bounds}`,
      duration: "a duration such as 40s",
      choice: "",
      flag: "",
    }[each.kind];
    const isRequired = standard === null || standard === undefined;
    const given = isRequired ? "" : `${standard} if empty`;
    return {
      name,
      doc,
      expected: [expected, given].filter((part) => part !== "").join("; "),
      isRequired,
      choices: each.kind === "flag" ? ["true", "false"] : choices,
      as: each.kind === "number" || each.kind === "flag" ? each.kind : "text",
    };
  });
  const where: FormField[] = [
    {
      ...plain,
      name: "symbols",
      doc: SYMBOLS_DOC[kind.symbols ?? "all"],
      expected: "symbols, separated by commas",
      isRequired: kind.symbols === "named" || kind.symbols === "new",
      as: "list",
    },
    { ...plain, name: "venue", doc: "The venue; both if empty.", choices: VENUES },
  ];
  const window: FormField = {
    ...plain,
    name: "for",
    doc: "How long it holds; until it is released if empty.",
    expected: "a duration such as 60s",
  };
  return [
    { title: "Parameters", fields: params.filter(({ isRequired }) => isRequired) },
    { title: "Further parameters", fields: params.filter(({ isRequired }) => !isRequired) },
    { title: "Where", fields: where },
    { title: "When", fields: kind.has_duration ? [window] : [] },
  ].filter(({ fields }) => fields.length > 0);
}

const SYMBOLS_DOC = {
  all: "The contracts; all that match if empty.",
  named: "The contracts.",
  new: "The new contracts.",
};

/** Return what is sent for the texts of a form; fields without text are left out. */
export function bodyOf(groups: readonly FieldGroup[], values: Values): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const { name, as } of groups.flatMap(({ fields }) => fields)) {
    const text = values[name]?.trim() ?? "";
    if (text !== "") body[name] = sent(text, as);
  }
  return body;
}

/** What is no number is sent as it is: the server says what it expects. */
function sent(text: string, as: FormField["as"]): unknown {
  if (as === "number") return Number.isFinite(Number(text)) ? Number(text) : text;
  if (as === "flag") return text === "true" || (text === "false" ? false : text);
  if (as === "list") return text.split(/[\s,]+/).filter((each) => each !== "");
  return text;
}

/** A fault, or some together, that one click turns on and another one off. */
export interface OneClick {
  readonly id: string;
  readonly title: string;
  /** What it does. */
  readonly words: string;
  readonly rules: readonly Readonly<Record<string, unknown>>[];
}

export const ONE_CLICKS: readonly OneClick[] = [
  {
    id: "reset",
    title: "Cut all connections",
    words: "Every WebSocket connection is closed with a TCP reset, once. Clients should reconnect.",
    rules: [{ kind: "reset" }],
  },
  {
    id: "latency",
    title: "200 ms latency",
    words:
      "All that WebSocket connections send and receive arrives 200 ms later, until this is turned off.",
    rules: [{ kind: "latency", time: "200ms" }],
  },
  {
    id: "drop",
    title: "Drop 10 % of depth",
    words:
      "Each connection misses every tenth depth update, drawn at random, until this is turned off. " +
      "Books should notice the gap and request a snapshot.",
    rules: [{ kind: "drop", share: 0.1, stream: "*@depth*" }],
  },
  {
    id: "ban",
    title: "Ban for 30 s",
    words:
      "For 30 s REST requests and handshakes are answered 418 with Retry-After, as to a banned " +
      "address. Connections that are open stay open.",
    rules: [
      { kind: "http_418", for: "30s" },
      { kind: "ban_handshakes", for: "30s" },
    ],
  },
  {
    id: "maintenance",
    title: "Maintenance for 30 s",
    words:
      "All WebSocket connections are closed with 1001; for 30 s handshakes and requests are " +
      "answered 503.",
    rules: [{ kind: "maintenance", for: "30s" }],
  },
];

/** Return the ids of the rules that a click turned on and that are not over. */
export function rulesOf(click: OneClick, page: FaultsPage | undefined): readonly string[] {
  const wanted = click.rules.map(canonical);
  return (page?.rules ?? [])
    .filter(({ state, rule }) => state !== "over" && wanted.includes(canonical(rule)))
    .map(({ id }) => id);
}

function canonical(rule: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(Object.entries(rule).sort(([a], [b]) => (a < b ? -1 : 1)));
}
