/** Requests to the REST API of the venue. */
import { signal } from "@preact/signals";
import { httpUrl } from "../base.ts";
import { venuePrefix } from "./plant.ts";

const TIMEOUT_MS = 15_000;
const TOO_MANY = new Set([418, 429]);
const LONGEST_PAUSE_S = 60;

export type Query = Readonly<Record<string, string | number | undefined>>;

/** A request that was not answered with 200. */
export class RestError extends Error {
  readonly status: number;
  readonly code: number;

  /**
   * @param status The HTTP status; 0 if the server did not answer.
   * @param message Why; the error has it without a full stop, to be part of a sentence.
   */
  constructor(status: number, code: number, message: string) {
    super(message.replace(/\.$/, ""));
    this.status = status;
    this.code = code;
  }
}

/** Until when no request is sent, wall clock, because the address has used up its request weight. */
export const pausedUntilMs = signal(0);

/**
 * Return the answer to a query, such as `klines`, below `/fapi/v1/` or `/dapi/v1/`; a path that
 * begins with `/` is taken as it is.
 *
 * After a refusal for too many requests, all requests wait for as long as the server says.
 *
 * @throws RestError
 */
export async function restGet<T>(path: string, query: Query = {}): Promise<T> {
  await untilMs(pausedUntilMs.value);
  const url = httpUrl(path.startsWith("/") ? path : `${await venuePrefix()}/v1/${path}`);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new RestError(0, 0, "the server did not answer");
  }
  if (response.ok) return (await body(response)) as T;
  if (TOO_MANY.has(response.status)) {
    const pauseS = Number(response.headers.get("retry-after") ?? 10) || 10;
    pausedUntilMs.value = Date.now() + 1_000 * Math.min(pauseS, LONGEST_PAUSE_S);
  }
  const problem = (await body(response).catch(() => null)) as {
    code?: number;
    msg?: string;
  } | null;
  throw new RestError(
    response.status,
    problem?.code ?? 0,
    problem?.msg ?? `the server answered with status ${response.status}`,
  );
}

async function body(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    throw new RestError(response.status, 0, "the server's answer is not JSON");
  }
}

function untilMs(timeMs: number): Promise<void> {
  const delayMs = timeMs - Date.now();
  return delayMs > 0 ? new Promise((done) => setTimeout(done, delayMs)) : Promise.resolve();
}
