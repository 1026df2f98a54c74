/** What the chart shows: loads history, follows the streams, and joins both without a hole. */
import type { MarketData } from "../../wire/market_data.ts";
import type { KlineMessage, KlineRow, MarkPrice } from "../../wire/messages.ts";
import { type Candle, CandleSeries, type Interval, MOST_CANDLES } from "./candles.ts";

export type Phase = "loading" | "live" | "empty" | "failed";

/** Whether there are older candles to be loaded. */
export type Older = "more" | "loading" | "none" | "full" | "failed";

/** Candles per request: of what a request of this weight brings, the most. */
const PAGE = 500;
const FIRST_RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 60_000;
/** Between two requests for candles that are missing. */
const HOLE_EVERY_MS = 5_000;
/** Between two reloads, however often time jumps. */
const RELOAD_EVERY_MS = 500;
/** Live candles that are kept until the history has come. */
const MOST_WAITING = 200;

export class ChartState {
  readonly symbol: string;
  readonly interval: Interval;
  readonly series = new CandleSeries();
  /** Why the last request for history failed; empty if it did not. */
  problem = "";
  /** Why the mark prices of the past cannot be shown; empty if they can. */
  markProblem = "";
  older: Older = "more";
  readonly #source: MarketData;
  readonly #changed: () => void;
  readonly #ends: (() => void)[] = [];
  /** Live candles by open time, while history is on its way. */
  readonly #waiting = new Map<number, Candle>();
  #phase: Phase = "loading";
  #isLoading = false;
  /** Whether it has to be loaded once more. */
  #isStale = false;
  /** Whether what is held may be of another market, or of another time of it. */
  #isDoubtful = false;
  #isPaused = false;
  #failures = 0;
  /** Counts what makes answers that are on their way worthless. */
  #epoch = 0;
  #cancelRetry: (() => void) | undefined;
  #cancelPause: (() => void) | undefined;
  #cancelHole: (() => void) | undefined;
  #hasEnded = false;

  /** @param changed Called after each change; the series tells what has changed. */
  constructor(source: MarketData, symbol: string, interval: Interval, changed: () => void) {
    this.#source = source;
    this.symbol = symbol;
    this.interval = interval;
    this.#changed = changed;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Load the history, and follow the streams until `end` is called. */
  start(): void {
    const { subscribe, onReset } = this.#source;
    const stream = this.symbol.toLowerCase();
    this.#ends.push(
      onReset(() => this.#reset()),
      subscribe(`${stream}@kline_${this.interval}`, (message) =>
        this.#takeCandle(message as KlineMessage),
      ),
      subscribe(`${stream}@markPrice@1s`, (message) => this.#takeMarkPrice(message as MarkPrice)),
    );
    void this.#load();
  }

  end(): void {
    this.#hasEnded = true;
    for (const end of this.#ends) end();
    this.#cancelRetry?.();
    this.#cancelPause?.();
    this.#cancelHole?.();
  }

  /** Ask again for what failed. */
  retry(): void {
    if (this.older === "failed") this.older = "more";
    if (this.problem && this.#phase === "failed") void this.#load();
    else {
      this.problem = "";
      this.#changed();
    }
  }

  /** Load the page of candles before the oldest one. */
  async loadOlder(): Promise<void> {
    const first = this.series.candles[0];
    if (this.older !== "more" || this.#isLoading || first === undefined) return;
    if (this.series.isFull) {
      this.older = "full";
      this.#changed();
      return;
    }
    this.older = "loading";
    this.#changed();
    const epoch = this.#epoch;
    const query = {
      symbol: this.symbol,
      interval: this.interval,
      endTime: first.openMs - 1,
      limit: PAGE,
    };
    try {
      const [rows, marks] = await Promise.all([
        this.#rows("klines", query),
        this.#requestMarks(query),
      ]);
      if (epoch !== this.#epoch || this.#hasEnded) return;
      const added = this.series.takeOlder(rows.map(candleOf));
      this.series.takeMarkPrices(marks);
      this.older = added === 0 ? "none" : "more";
      this.problem = "";
    } catch (error) {
      if (epoch !== this.#epoch || this.#hasEnded) return;
      this.older = "failed";
      this.problem = sentence(error);
    }
    this.#changed();
  }

  /** What was held may be of another time or market: compare it with what is now. */
  #reset(): void {
    this.#waiting.clear();
    this.#epoch += 1;
    this.#isDoubtful = true;
    void this.#load();
  }

  /** Load the newest candles, unless that is under way; then once more afterwards. */
  async #load(): Promise<void> {
    this.#cancelRetry?.();
    if (this.#isLoading || this.#isPaused) {
      this.#isStale = true;
      return;
    }
    this.#isLoading = true;
    this.#isPaused = true;
    this.#cancelPause = this.#source.after(RELOAD_EVERY_MS, () => {
      this.#isPaused = false;
      this.#loadIfStale();
    });
    if (this.series.newest === undefined) this.#phase = "loading";
    this.#changed();
    const epoch = this.#epoch;
    const query = { symbol: this.symbol, interval: this.interval, limit: PAGE };
    try {
      const [rows, marks] = await Promise.all([
        this.#rows("klines", query),
        this.#requestMarks(query),
      ]);
      if (this.#hasEnded) return;
      // What was asked for before the reset may be of another market.
      if (epoch === this.#epoch) this.#join(rows.map(candleOf), marks);
      else this.#isStale = true;
    } catch (error) {
      if (this.#hasEnded) return;
      this.#fail(sentence(error));
    }
    this.#isLoading = false;
    this.#changed();
    this.#loadIfStale();
  }

  #loadIfStale(): void {
    if (!this.#isStale || this.#isLoading || this.#isPaused || this.#hasEnded) return;
    this.#isStale = false;
    void this.#load();
  }

  #join(rows: Candle[], marks: readonly (readonly [number, number])[]): void {
    const firstMs = this.series.candles[0]?.openMs;
    this.series.takeTail(rows, !this.#isDoubtful);
    this.#isDoubtful = false;
    if (this.series.candles[0]?.openMs !== firstMs) this.older = "more";
    this.series.takeMarkPrices(marks);
    this.#takeWaiting();
    this.#failures = 0;
    this.problem = "";
    this.#phase = this.series.newest === undefined ? "empty" : "live";
  }

  #fail(problem: string): void {
    this.problem = problem;
    this.#phase = "failed";
    this.#takeWaiting();
    const delayMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#cancelRetry = this.#source.after(delayMs, () => void this.#load());
  }

  #takeWaiting(): void {
    const waiting = [...this.#waiting.values()].sort((a, b) => a.openMs - b.openMs);
    this.#waiting.clear();
    const newestMs = this.series.newest?.openMs ?? 0;
    // Of what is older than the history, the history knows more.
    for (const candle of waiting) if (candle.openMs >= newestMs) this.#takeLive(candle);
  }

  #takeCandle(message: KlineMessage): void {
    const candle = liveCandle(message);
    if (!this.#isLoading && !this.#isStale) {
      this.#takeLive(candle);
      this.#changed();
      return;
    }
    this.#waiting.set(candle.openMs, candle);
    const [oldest] = this.#waiting.keys();
    if (this.#waiting.size > MOST_WAITING && oldest !== undefined) this.#waiting.delete(oldest);
  }

  #takeLive(candle: Candle): void {
    const isMissing = this.series.take(candle);
    if (this.#phase === "empty") this.#phase = "live";
    if (!isMissing || this.#phase !== "live" || this.#cancelHole !== undefined) return;
    void this.#load();
    this.#cancelHole = this.#source.after(HOLE_EVERY_MS, () => {
      this.#cancelHole = undefined;
    });
  }

  #takeMarkPrice(message: MarkPrice): void {
    const price = Number(message.p);
    if (!(price > 0) || this.#isStale) return;
    this.series.takeMarkPrice(price, message.E);
    this.#changed();
  }

  /** The chart does without mark prices, and says why. */
  async #requestMarks(
    query: Readonly<Record<string, string | number>>,
  ): Promise<readonly (readonly [number, number])[]> {
    try {
      const rows = await this.#rows("markPriceKlines", query);
      this.markProblem = "";
      return rows.map(([openMs, , , , close]) => [openMs, Number(close)] as const);
    } catch (error) {
      this.markProblem = sentence(error);
      return [];
    }
  }

  async #rows(
    path: "klines" | "markPriceKlines",
    query: Readonly<Record<string, string | number>>,
  ): Promise<readonly KlineRow[]> {
    return (await this.#source.request(path, query)) as readonly KlineRow[];
  }
}

/** Return why no older candles are loaded; empty if they are. */
export function olderSentence(state: ChartState): string {
  if (state.older === "none") return "The history begins here.";
  if (state.older === "full") {
    return `The chart holds ${MOST_CANDLES.toLocaleString("en")} candles; a longer interval shows what is older.`;
  }
  if (state.older === "failed") return `Older candles cannot be loaded: ${state.problem}.`;
  return "";
}

function sentence(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
}

/** Return a row of the answer to `klines` as a candle. */
function candleOf(row: KlineRow): Candle {
  const [openMs, open, high, low, close, volume, closeMs, turnover, trades] = row;
  return {
    openMs,
    closeMs,
    open: Number(open),
    high: Number(high),
    low: Number(low),
    close: Number(close),
    volume: Number(volume),
    turnover: Number(turnover),
    trades,
  };
}

function liveCandle({ k }: KlineMessage): Candle {
  return {
    openMs: k.t,
    closeMs: k.T,
    open: Number(k.o),
    high: Number(k.h),
    low: Number(k.l),
    close: Number(k.c),
    volume: Number(k.v),
    turnover: Number(k.q),
    trades: k.n,
  };
}
