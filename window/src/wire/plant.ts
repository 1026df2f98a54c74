/** The operations of the server: `/plant/v1/`, typed by its OpenAPI document. */
import { computed, type ReadonlySignal, signal } from "@preact/signals";
import type { paths } from "../../build/operations.d.ts";
import { httpUrl } from "../base.ts";

const TIMEOUT_MS = 15_000;
const TOKEN_KEY = "tickerplant-token";

type Answer<P extends keyof paths, M extends "get" | "post" | "delete"> =
  paths[P] extends Record<M, { responses: { 200: { content: { "application/json": infer A } } } }>
    ? A
    : never;

type PathsOf<M extends "get" | "post" | "delete"> = {
  [P in keyof paths]: [Answer<P, M>] extends [never] ? never : P;
}[keyof paths];

export type GetPath = PathsOf<"get">;
export type PostPath = PathsOf<"post">;
export type DeletePath = PathsOf<"delete">;
export type Got<P extends GetPath> = Answer<P, "get">;
export type Server = Got<"/plant/v1/server">;

/** A request to an operation that failed. */
export class PlantError extends Error {
  /** The HTTP status; 0 if the server did not answer. */
  readonly status: number;
  /** The field that is wrong; empty if it is none. */
  readonly field: string;

  /** @param message Why; the error has it without a full stop, to be part of a sentence. */
  constructor(status: number, message: string, field = "") {
    super(message.replace(/\.$/, ""));
    this.status = status;
    this.field = field;
  }
}

/** Whether the server wants a token that the page does not have. */
export const needsToken = signal(false);

/** Keep the token of the control plane until the tab is closed. */
export function setToken(token: string): void {
  sessionStorage.setItem(TOKEN_KEY, token);
  needsToken.value = false;
  for (const each of polls.values()) each.refresh();
  void loadServer();
}

/** The values of `{…}` in a path and of the query. */
export type Parameters = Readonly<Record<string, string | number | undefined>>;

async function request(
  method: "GET" | "POST" | "DELETE",
  path: string,
  parameters: Parameters = {},
  body?: unknown,
): Promise<unknown> {
  const given = new Map(Object.entries(parameters));
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = given.get(name);
    given.delete(name);
    return encodeURIComponent(String(value ?? ""));
  });
  const url = httpUrl(filled);
  for (const [name, value] of given) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  const headers = new Headers();
  const token = globalThis.sessionStorage?.getItem(TOKEN_KEY);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  if (body !== undefined) headers.set("Content-Type", "application/json");
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new PlantError(0, "the server did not answer");
  }
  const isText = !(response.headers.get("content-type") ?? "").startsWith("application/json");
  let text: string;
  try {
    text = await response.text();
  } catch {
    throw new PlantError(0, "the server broke off its answer");
  }
  const answer = isText ? text : parsed(text);
  if (response.ok) return answer;
  if (response.status === 401) needsToken.value = true;
  const problem = (isText ? {} : answer) as { error?: string; field?: string } | undefined;
  const message = problem?.error ?? `the server answered with status ${response.status}`;
  // `/readyz` answers 503 with its page.
  if (response.status === 503 && problem && !problem.error) return problem;
  throw new PlantError(response.status, message, problem?.field);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Return an answer; what is no JSON object comes from something else than a Tickerplant. */
function objectOf<T>(answer: unknown): T {
  if (typeof answer !== "object" || answer === null) {
    throw new PlantError(0, "the server's answer is not that of a Tickerplant");
  }
  return answer as T;
}

/**
 * Return the answer of an operation that only reads.
 *
 * @throws PlantError
 */
export async function plantGet<P extends GetPath>(
  path: P,
  parameters?: Parameters,
): Promise<Got<P>> {
  return objectOf<Got<P>>(await request("GET", path, parameters));
}

/** Return the metrics of the server, as Prometheus reads them. */
async function metricsText(): Promise<string> {
  return (await request("GET", "/metrics")) as string;
}

/**
 * Carry out an operation; return its answer.
 *
 * @throws PlantError
 */
export async function plantPost<P extends PostPath>(
  path: P,
  body: unknown,
  parameters?: Parameters,
): Promise<Answer<P, "post">> {
  return objectOf<Answer<P, "post">>(await request("POST", path, parameters, body));
}

/**
 * Take something back; return what is left.
 *
 * @throws PlantError
 */
export async function plantDelete<P extends DeletePath>(
  path: P,
  parameters?: Parameters,
): Promise<Answer<P, "delete">> {
  return objectOf<Answer<P, "delete">>(await request("DELETE", path, parameters));
}

/** What was polled last. */
export interface Polled<T> {
  /** The last answer; undefined before the first. */
  readonly data: T | undefined;
  /** Why the last request failed; undefined if it did not. */
  readonly error: PlantError | undefined;
  /** When the last answer came, wall clock. */
  readonly atMs: number;
}

/** Asks again and again while anybody looks at `state` and the page is shown. */
export class Poll<T> {
  readonly state: ReadonlySignal<Polled<T>>;
  readonly #ask: () => Promise<T>;
  readonly #everyMs: number;
  readonly #state;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isWatched = false;
  #isAsking = false;

  constructor(ask: () => Promise<T>, everyMs: number) {
    this.#ask = ask;
    this.#everyMs = everyMs;
    this.#state = signal<Polled<T>>(
      { data: undefined, error: undefined, atMs: 0 },
      {
        watched: () => {
          this.#isWatched = true;
          this.refresh();
        },
        unwatched: () => {
          this.#isWatched = false;
          clearTimeout(this.#timer);
        },
      },
    );
    this.state = this.#state;
    globalThis.document?.addEventListener("visibilitychange", () => this.refresh());
  }

  /** Ask now, if anybody looks. */
  refresh(): void {
    if (this.#isWatched && !document.hidden) void this.#round();
  }

  async #round(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    clearTimeout(this.#timer);
    let state: Polled<T>;
    try {
      state = { data: await this.#ask(), error: undefined, atMs: Date.now() };
    } catch (error) {
      const problem = error instanceof PlantError ? error : new PlantError(0, String(error));
      state = { ...this.#state.peek(), error: problem };
    }
    this.#isAsking = false;
    if (this.#isWatched && !document.hidden) {
      this.#timer = setTimeout(() => void this.#round(), this.#everyMs);
    }
    // The next round is planned: whoever looks may fail.
    this.#state.value = state;
  }
}

const polls = new Map<string, Poll<unknown>>();

/** Return the poll of a path; there is one for each path, however many look at it. */
export function poll<P extends GetPath>(path: P, everyMs: number): Poll<Got<P>> {
  let found = polls.get(path) as Poll<Got<P>> | undefined;
  if (found === undefined) {
    found = new Poll(() => plantGet(path), everyMs);
    polls.set(path, found as Poll<unknown>);
  }
  return found;
}

/** Return the poll of `/metrics`, as text. */
export function pollMetrics(everyMs: number): Poll<string> {
  let found = polls.get("/metrics") as Poll<string> | undefined;
  if (found === undefined) {
    found = new Poll(metricsText, everyMs);
    polls.set("/metrics", found as Poll<unknown>);
  }
  return found;
}

const loaded = signal<Server | undefined>(undefined);

/** What the server says about itself; undefined until it has said it. */
export const server: ReadonlySignal<Server | undefined> = loaded;

/** The build of the window that the server has, if it is another one than this page's. */
export const otherBuild = computed(() => {
  const own = globalThis.document
    ?.querySelector<HTMLMetaElement>("meta[name=tickerplant-build]")
    ?.getAttribute("content");
  const build = loaded.value?.build;
  return build && own && build !== own ? build : "";
});

/** Ask the server about itself again: it may be another one. */
export async function loadServer(): Promise<void> {
  try {
    loaded.value = await plantGet("/plant/v1/server");
    prefix = Promise.resolve(loaded.value.rest_prefix);
  } catch (error) {
    if (!(error instanceof PlantError)) throw error;
  }
}

let prefix: Promise<string> | undefined;

/** Return the prefix of REST paths, `/fapi` or `/dapi`, also where the operations need a token. */
export function venuePrefix(): Promise<string> {
  prefix ??= findPrefix().catch((error: unknown) => {
    prefix = undefined;
    throw error;
  });
  return prefix;
}

async function findPrefix(): Promise<string> {
  await loadServer();
  if (loaded.value !== undefined) return loaded.value.rest_prefix;
  for (const each of ["/fapi", "/dapi"]) {
    const response = await fetch(httpUrl(`${each}/v1/ping`), {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.ok) return each;
  }
  throw new PlantError(0, "the server answers neither /fapi nor /dapi");
}
