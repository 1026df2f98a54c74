/** The connection to the market streams, shared by all that is on the page. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { after } from "../after.ts";
import { httpUrl, wsUrl } from "../base.ts";
import { windowName } from "./window_name.ts";

export type Phase = "connecting" | "open" | "waiting" | "hidden" | "over" | "unsupported";

export interface FeedState {
  readonly phase: Phase;
  /** Why it is not open, or what the server objected to; empty if all is well. */
  readonly reason: string;
  /** When the next attempt is made, wall clock; 0 if none is planned. */
  readonly retryAtMs: number;
  /** How much later messages are handled than the fastest of this connection. */
  readonly lagMs: number;
  /** Whether the server merges what waits for this page, because it was behind. */
  readonly isConflated: boolean;
  /** Whether the server was asked for an answer that is late. */
  readonly isSilent: boolean;
  readonly messagesPerS: number;
  readonly bytesPerS: number;
}

/** What a message was received for. */
export type Handler = (message: unknown) => void;

/** What the feed needs of a browser. */
export interface Surroundings {
  /** What the page calls itself in the address of its connection. */
  readonly name: string;
  /** Opens a WebSocket; null where there are none. */
  readonly open: ((url: string) => WebSocket) | null;
  readonly now: () => number;
  readonly after: (delayMs: number, action: () => void) => () => void;
  /** Whether the server answers HTTP requests. */
  readonly answersHttp: () => Promise<boolean>;
}

export const BEHIND_MS = 1_000;
const BEHIND_FOR_MS = 3_000;
/** A page that was behind and has kept up for so long gets every message again: the first time, and the
 * longest after relapses. */
const RECOVERED_MS = 60_000;
const LONGEST_RECOVERY_MS = 900_000;
const COUNT_MS = 1_000;
/** A page that has so much to do that its timers starve counts when a message comes. */
const LATE_COUNT_MS = 2_000;
const HIDDEN_AFTER_MS = 10_000;
/** A connection on which nothing has come for so long is asked for an answer. */
const SILENT_MS = 5_000;
/** An answer that takes so long is late. */
const LATE_MS = 2_000;
/** Without an answer, or a handshake, in this time a connection is given up. */
const ANSWER_MS = 10_000;
const BATCH_MS = 250;
const NAMES_AT_ONCE = 100;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
const OVER_DELAY_MS = 30_000;
/** How long it is said that a message was wrong. */
const COMPLAINT_MS = 15_000;
const BACK_MS = 2_000;
/** Each reset asks the server for much: times that jump to and fro cause one in this time. */
const BETWEEN_RESETS_MS = 2_000;
const NORMAL = 1_000;
const GOING_AWAY = 1_001;
const ABNORMAL = 1_006;

interface Combined {
  readonly stream?: string;
  readonly data?: unknown;
  readonly stamps?: { readonly write_ns: number };
  readonly error?: { readonly code: number; readonly msg: string };
}

/** Return the object that a message is; undefined if it is none. */
function combined(text: string): Combined | undefined {
  try {
    const message: unknown = JSON.parse(text);
    const isObject = typeof message === "object" && message !== null && !Array.isArray(message);
    return isObject ? message : undefined;
  } catch {
    return undefined;
  }
}

export class StreamFeed {
  readonly #surroundings: Surroundings;
  readonly #handlers = new Map<string, Set<Handler>>();
  readonly #resets = new Set<() => void>();
  readonly #newestMs = new Map<string, number>();
  readonly #observers = new Set<(eventMs: number) => void>();
  readonly #state = signal<FeedState>({
    phase: "connecting",
    reason: "",
    retryAtMs: 0,
    lagMs: 0,
    isConflated: false,
    isSilent: false,
    messagesPerS: 0,
    bytesPerS: 0,
  });
  #socket: WebSocket | null = null;
  #subscribed = new Set<string>();
  #cancelBatch: (() => void) | null = null;
  #cancelRetry: (() => void) | null = null;
  #cancelHide: (() => void) | null = null;
  #cancelTick: (() => void) | null = null;
  #cancelReset: (() => void) | null = null;
  #wentBackMs = Number.NEGATIVE_INFINITY;
  #cancelComplaint: (() => void) | null = null;
  #attempts = 0;
  #requests = 0;
  #messages = 0;
  #bytes = 0;
  #lagMs = 0;
  #fastestMs = Number.POSITIVE_INFINITY;
  #behindSinceMs = 0;
  #keepsUpSinceMs = 0;
  #recoveryMs = RECOVERED_MS;
  #countedMs = 0;
  #heardMs = 0;
  /** When an answer was asked for that has not come; 0 if none was. */
  #askedMs = 0;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  get state(): ReadonlySignal<FeedState> {
    return this.#state;
  }

  /** Connect, and stay connected while the page is shown. */
  start(): void {
    if (this.#surroundings.open === null) {
      this.#change({ phase: "unsupported", reason: "This browser has no WebSocket." });
      return;
    }
    this.#connect();
  }

  /** Hand every message of a stream to `handler`, until the function returned is called. */
  subscribe(stream: string, handler: Handler): () => void {
    const handlers = this.#handlers.get(stream);
    if (handlers === undefined) this.#handlers.set(stream, new Set([handler]));
    else handlers.add(handler);
    this.#planBatch();
    return () => {
      const left = this.#handlers.get(stream);
      if (!left?.delete(handler) || left.size > 0) return;
      this.#handlers.delete(stream);
      this.#newestMs.delete(stream);
      this.#planBatch();
    };
  }

  /** Call `callback` whenever messages may be missing before the next one, or time went back. */
  onReset(callback: () => void): () => void {
    this.#resets.add(callback);
    return () => this.#resets.delete(callback);
  }

  /** Have everything rebuilt: the market is at another time, which no message tells. */
  reset(): void {
    this.#newestMs.clear();
    for (const each of this.#resets) each();
  }

  /** Call `callback` with the time of every event that has one. */
  onTime(callback: (eventMs: number) => void): () => void {
    this.#observers.add(callback);
    return () => this.#observers.delete(callback);
  }

  /** Tell whether the page is shown: it is disconnected when it is hidden for a while. */
  show(isShown: boolean): void {
    this.#cancelHide?.();
    this.#cancelHide = null;
    const { phase } = this.#state.value;
    if (!isShown) {
      this.#cancelHide = this.#surroundings.after(HIDDEN_AFTER_MS, () => this.#hide());
    } else if (phase === "hidden") {
      this.#attempts = 0;
      this.#recoveryMs = RECOVERED_MS;
      this.#change({ isConflated: false, reason: "" });
      this.#connect();
    } else {
      // What waited while the page was hidden says nothing about how fast the page is.
      this.#behindSinceMs = 0;
    }
  }

  /** Try again now, if an attempt is planned. */
  retry(): void {
    if (this.#cancelRetry === null) return;
    this.#connect();
  }

  #hide(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    if (this.#state.value.phase === "unsupported") return;
    this.#leave();
    this.#change({ phase: "hidden", reason: "The page was hidden.", retryAtMs: 0 });
  }

  #connect(): void {
    const { open } = this.#surroundings;
    if (open === null) return;
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#leave();
    this.#change({ phase: "connecting", retryAtMs: 0 });
    const url = wsUrl("stream");
    url.searchParams.set("stamps", "1");
    url.searchParams.set("window", this.#surroundings.name);
    if (this.#state.value.isConflated) url.searchParams.set("delivery", "latest");
    const socket = open(url.href);
    this.#socket = socket;
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = (event) => this.#received(socket, event.data);
    socket.onclose = (event) => void this.#closed(socket, event.code, event.reason);
    this.#cancelTick = this.#surroundings.after(ANSWER_MS, () =>
      this.#closed(socket, ABNORMAL, ""),
    );
  }

  /** Give up the connection without waiting for its end. */
  #leave(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#cancelBatch?.();
    this.#cancelBatch = null;
    this.#cancelTick?.();
    this.#cancelTick = null;
    this.#cancelReset?.();
    this.#cancelReset = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(NORMAL);
  }

  #opened(socket: WebSocket): void {
    if (socket !== this.#socket) return;
    this.#subscribed = new Set();
    this.#fastestMs = Number.POSITIVE_INFINITY;
    this.#behindSinceMs = this.#askedMs = 0;
    this.#heardMs = this.#keepsUpSinceMs = this.#surroundings.now();
    this.#lagMs = this.#messages = this.#bytes = 0;
    this.#change({ phase: "open", reason: "", retryAtMs: 0, lagMs: 0, isSilent: false });
    this.reset();
    this.#sendBatch();
    this.#tick(this.#surroundings.now());
  }

  async #closed(socket: WebSocket, code: number, reason: string): Promise<void> {
    if (socket !== this.#socket) return;
    const wasOpen = this.#state.value.phase === "open";
    this.#leave();
    if (wasOpen && code === NORMAL) {
      this.#plan("over", reason || "The server has ended the streams.", OVER_DELAY_MS);
      return;
    }
    this.#attempts = wasOpen ? 0 : this.#attempts + 1;
    const delayMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempts);
    const said = reason || (code === GOING_AWAY ? "The server is going away" : "");
    this.#plan("waiting", said || "The connection is lost", delayMs * (0.75 + Math.random() / 2));
    if (wasOpen || said) return;
    const answers = await this.#surroundings.answersHttp();
    if (this.#state.value.phase !== "waiting") return;
    this.#change({
      reason: answers
        ? "The server answers, but no WebSocket opens: it refuses streams now, or a proxy does not pass WebSocket on"
        : "The server does not answer",
    });
  }

  #plan(phase: "waiting" | "over", reason: string, delayMs: number): void {
    this.#change({ phase, reason, retryAtMs: this.#surroundings.now() + delayMs });
    this.#cancelRetry = this.#surroundings.after(delayMs, () => this.#connect());
  }

  #received(socket: WebSocket, text: unknown): void {
    if (socket !== this.#socket || typeof text !== "string") return;
    this.#messages += 1;
    this.#bytes += text.length;
    this.#heardMs = this.#surroundings.now();
    this.#askedMs = 0;
    const message = combined(text);
    if (message === undefined) {
      this.#complain("The server sent a message that is no JSON object.");
      return;
    }
    if (typeof message.stream !== "string") {
      if (message.error) this.#complain(`The server said: ${message.error.msg}`);
      return;
    }
    const writtenNs = message.stamps?.write_ns;
    if (typeof writtenNs === "number") this.#measure(writtenNs / 1e6);
    const { data, stream } = message;
    this.#observe(stream, Array.isArray(data) ? data[0] : data);
    for (const handler of this.#handlers.get(stream) ?? []) {
      try {
        handler(data);
      } catch (error) {
        this.#complain(`A message of ${stream} cannot be read and is left out: ${error}.`);
      }
    }
  }

  /** Say what is wrong while the connection is open, for a while. */
  #complain(reason: string): void {
    if (this.#state.value.phase !== "open") return;
    this.#change({ reason });
    this.#cancelComplaint?.();
    this.#cancelComplaint = this.#surroundings.after(COMPLAINT_MS, () => {
      this.#cancelComplaint = null;
      if (this.#state.value.phase === "open") this.#change({ reason: "" });
    });
  }

  /** Note the event time of a message; a time that goes back means that the market was set back. */
  #observe(stream: string, data: unknown): void {
    const eventMs = (data as { E?: unknown } | undefined)?.E;
    if (typeof eventMs !== "number") return;
    const newestMs = this.#newestMs.get(stream) ?? 0;
    if (eventMs < newestMs - BACK_MS) this.#wentBack();
    this.#newestMs.set(stream, eventMs);
    for (const each of this.#observers) each(eventMs);
  }

  /** Have everything rebuilt, but not again and again while times jump to and fro. */
  #wentBack(): void {
    const nowMs = this.#surroundings.now();
    if (this.#cancelReset !== null) return;
    const waitMs = this.#wentBackMs + BETWEEN_RESETS_MS - nowMs;
    if (waitMs > 0) {
      this.#cancelReset = this.#surroundings.after(waitMs, () => {
        this.#cancelReset = null;
        this.#wentBack();
      });
      return;
    }
    this.#wentBackMs = nowMs;
    this.reset();
  }

  #measure(writtenMs: number): void {
    const nowMs = this.#surroundings.now();
    const takenMs = nowMs - writtenMs;
    this.#fastestMs = Math.min(this.#fastestMs, takenMs);
    this.#lagMs = takenMs - this.#fastestMs;
    if (nowMs - this.#countedMs >= LATE_COUNT_MS) this.#count();
  }

  #tick(nowMs: number): void {
    this.#cancelTick?.();
    this.#countedMs = nowMs;
    this.#cancelTick = this.#surroundings.after(COUNT_MS, () => this.#count());
  }

  /** Count what has come since the last time, and see whether the page keeps up. */
  #count(): void {
    const nowMs = this.#surroundings.now();
    const seconds = Math.max(0.001, (nowMs - this.#countedMs) / 1_000);
    this.#change({
      lagMs: this.#messages > 0 ? this.#lagMs : 0,
      messagesPerS: this.#messages / seconds,
      bytesPerS: this.#bytes / seconds,
      isSilent: this.#askedMs > 0 && nowMs - this.#askedMs >= LATE_MS,
    });
    if (this.#messages === 0 || this.#lagMs < BEHIND_MS) this.#behindSinceMs = 0;
    else {
      this.#behindSinceMs ||= nowMs;
      this.#keepsUpSinceMs = nowMs;
    }
    this.#messages = this.#bytes = 0;
    const isBehind = this.#behindSinceMs > 0 && nowMs - this.#behindSinceMs >= BEHIND_FOR_MS;
    const { isConflated } = this.#state.value;
    if (isBehind && !isConflated) {
      this.#change({ isConflated: true });
      this.#connect();
    } else if (isConflated && nowMs - this.#keepsUpSinceMs >= this.#recoveryMs) {
      this.#recoveryMs = Math.min(LONGEST_RECOVERY_MS, 2 * this.#recoveryMs);
      this.#change({ isConflated: false });
      this.#connect();
    } else if (this.#isAlive(nowMs)) this.#tick(nowMs);
  }

  /** Ask for an answer where nothing has come for long; give the connection up if none comes. */
  #isAlive(nowMs: number): boolean {
    const socket = this.#socket;
    if (socket === null) return false;
    if (this.#askedMs > 0 && nowMs - this.#askedMs >= ANSWER_MS) {
      void this.#closed(socket, ABNORMAL, "Nothing comes any more, and the server does not answer");
      return false;
    }
    if (this.#askedMs === 0 && nowMs - this.#heardMs >= SILENT_MS) {
      this.#askedMs = nowMs;
      this.#requests += 1;
      socket.send(JSON.stringify({ method: "LIST_SUBSCRIPTIONS", id: this.#requests }));
    }
    return true;
  }

  #planBatch(): void {
    if (this.#cancelBatch !== null || this.#state.value.phase !== "open") return;
    this.#cancelBatch = this.#surroundings.after(BATCH_MS, () => this.#sendBatch());
  }

  /** Ask for one part of what is to be subscribed or unsubscribed, and plan the next part. */
  #sendBatch(): void {
    this.#cancelBatch = null;
    const socket = this.#socket;
    if (socket === null || this.#state.value.phase !== "open") return;
    const missing = [...this.#handlers.keys()].filter((name) => !this.#subscribed.has(name));
    const unwanted = [...this.#subscribed].filter((name) => !this.#handlers.has(name));
    const names = (unwanted.length > 0 ? unwanted : missing).slice(0, NAMES_AT_ONCE);
    if (names.length === 0) return;
    const method = unwanted.length > 0 ? "UNSUBSCRIBE" : "SUBSCRIBE";
    for (const name of names) {
      if (method === "SUBSCRIBE") this.#subscribed.add(name);
      else this.#subscribed.delete(name);
    }
    this.#requests += 1;
    socket.send(JSON.stringify({ method, params: names, id: this.#requests }));
    this.#planBatch();
  }

  #change(change: Partial<FeedState>): void {
    this.#state.value = { ...this.#state.value, ...change };
  }
}

const TIMEOUT_MS = 5_000;

/** Return what a browser gives. */
function browser(): Surroundings {
  return {
    name: windowName,
    open: typeof WebSocket === "undefined" ? null : (url) => new WebSocket(url),
    now: () => Date.now(),
    after,
    answersHttp: async () => {
      try {
        await fetch(httpUrl("healthz"), { signal: AbortSignal.timeout(TIMEOUT_MS) });
        return true;
      } catch {
        return false;
      }
    },
  };
}

/** The connection of this page. */
export const feed = new StreamFeed(browser());
