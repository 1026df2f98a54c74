/** Keeps the order book of a contract in sync with the server. */
import type { MarketData } from "../wire/market_data.ts";
import type { DepthSnapshot, DepthUpdate } from "../wire/messages.ts";
import { OrderBook } from "./order_book.ts";

/** Levels of each side that a snapshot has; it costs 10 of request weight. */
export const SNAPSHOT_LEVELS = 500;
/** A side with fewer levels than this is deepened by another snapshot. */
export const FEW_LEVELS = 100;
const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 30_000;
/** How long the stream may run before the snapshot is asked for: it then has something to join. */
const HEAD_START_MS = 400;
/** Holes that follow each other make the next snapshot wait longer, up to this. */
export const LONGEST_RESYNC_MS = 2_000;
/** A book that has stayed in sync for this long is asked for at once after the next hole. */
export const SETTLED_MS = 20_000;

export class BookFeed {
  readonly book = new OrderBook();
  readonly symbol: string;
  /** Why the book is not in sync, or was not a moment ago. */
  reason = "waiting for a snapshot";
  /** How often the book was loaded again after a hole. */
  resyncs = 0;
  readonly #source: MarketData;
  readonly #onChange: (eventMs: number) => void;
  #ends: (() => void)[] = [];
  #cancelAsk: (() => void) | null = null;
  #asked = 0;
  #failures = 0;
  /** Holes since the book was last in sync for long. */
  #holes = 0;
  #cancelSettle: (() => void) | null = null;
  #wasFull = false;

  /** @param onChange Called with the event time after each change of the book or its state. */
  constructor(source: MarketData, symbol: string, onChange: (eventMs: number) => void) {
    this.#source = source;
    this.symbol = symbol;
    this.#onChange = onChange;
  }

  /** Follow the market, also again after an end. */
  start(): void {
    this.book.reset();
    this.reason = "waiting for a snapshot";
    const stream = `${this.symbol.toLowerCase()}@depth@100ms`;
    this.#ends = [
      this.#source.subscribe(stream, (message) => this.#take(message as DepthUpdate)),
      this.#source.onReset(() => {
        this.book.reset();
        this.#restart("the market is connected to again");
      }),
    ];
    this.#plan(HEAD_START_MS);
  }

  end(): void {
    for (const end of this.#ends) end();
    this.#ends = [];
    this.#cancelAsk?.();
    this.#cancelSettle?.();
    this.#asked += 1;
  }

  #take(update: DepthUpdate): void {
    const outcome = this.book.update(update);
    if (outcome === "hole") {
      this.resyncs += 1;
      this.#restart("an update is missing", HEAD_START_MS * 2 ** this.#holes);
      this.#holes += 1;
    } else if (outcome === "applied") {
      if (this.#isShallow()) this.#deepen();
      this.#onChange(update.E);
    }
  }

  #restart(reason: string, delayMs = HEAD_START_MS): void {
    this.reason = reason;
    this.#failures = 0;
    this.#cancelSettle?.();
    this.#plan(Math.min(LONGEST_RESYNC_MS, delayMs));
    this.#onChange(0);
  }

  /** Whether the levels that the snapshot had are nearly used up. */
  #isShallow(): boolean {
    const least = Math.min(this.book.bids.levels.length, this.book.asks.levels.length);
    return this.#wasFull && least < FEW_LEVELS;
  }

  #deepen(): void {
    this.#wasFull = false;
    this.book.expectSnapshot();
    this.#plan(HEAD_START_MS);
  }

  #plan(delayMs: number): void {
    this.#cancelAsk?.();
    this.#cancelAsk = this.#source.after(delayMs, () => void this.#ask());
  }

  async #ask(): Promise<void> {
    this.#cancelAsk = null;
    this.#asked += 1;
    const asked = this.#asked;
    let problem: string;
    try {
      const snapshot = (await this.#source.request("depth", {
        symbol: this.symbol,
        limit: SNAPSHOT_LEVELS,
      })) as DepthSnapshot;
      if (asked !== this.#asked) return;
      problem = this.book.snapshot(snapshot);
      const levels = Math.min(snapshot.bids.length, snapshot.asks.length);
      this.#wasFull = problem === "" && levels >= SNAPSHOT_LEVELS;
    } catch (error) {
      if (asked !== this.#asked) return;
      problem = error instanceof Error ? error.message : String(error);
    }
    this.reason = problem;
    if (problem) {
      this.#failures += 1;
      this.#plan(Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#failures - 1)));
    } else {
      this.#failures = 0;
      this.#cancelSettle?.();
      this.#cancelSettle = this.#source.after(SETTLED_MS, () => {
        this.#holes = 0;
      });
    }
    this.#onChange(this.book.eventMs);
  }
}
