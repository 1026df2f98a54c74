/** A local order book, by the exchange's procedure: a snapshot, and the updates that continue it. */
import type { DepthSnapshot, DepthUpdate } from "../wire/messages.ts";

/** Levels of one side that are kept: those farthest from the other side are dropped. */
export const MOST_LEVELS = 2_000;
/** Updates that wait for a snapshot: two minutes of them. */
export const MOST_WAITING = 1_200;
const KEYS_PER_UNIT = 1e8;

export interface Level {
  /** The price as an integer, by which levels are found and ordered. */
  readonly key: number;
  /** As it was on the wire. */
  readonly price: string;
  readonly quantity: string;
  readonly size: number;
}

/** Return the integer that stands for a price. */
export function priceKey(price: string | number): number {
  return Math.round(Number(price) * KEYS_PER_UNIT);
}

/** Return the price for which an integer stands. */
export function keyPrice(key: number): number {
  return key / KEYS_PER_UNIT;
}

/** One side: its levels, the best first. */
export class BookSide {
  readonly #sign: 1 | -1;
  #levels: Level[] = [];

  /** @param isBids Whether the highest price is the best. */
  constructor(isBids: boolean) {
    this.#sign = isBids ? -1 : 1;
  }

  get levels(): readonly Level[] {
    return this.#levels;
  }

  get best(): Level | undefined {
    return this.#levels[0];
  }

  replace(rows: readonly (readonly [string, string])[]): void {
    this.#levels = rows
      .map(([price, quantity]) => levelOf(price, quantity))
      .filter((level) => Number.isFinite(level.key) && level.size > 0)
      .sort((a, b) => this.#sign * (a.key - b.key))
      .slice(0, MOST_LEVELS);
  }

  /** Set the quantity at a price; what is not above 0 removes the level. */
  set(price: string, quantity: string): void {
    const level = levelOf(price, quantity);
    if (!Number.isFinite(level.key)) return;
    const at = this.#place(level.key);
    const isThere = this.#levels[at]?.key === level.key;
    if (!(level.size > 0)) {
      if (isThere) this.#levels.splice(at, 1);
      return;
    }
    this.#levels.splice(at, isThere ? 1 : 0, level);
    if (this.#levels.length > MOST_LEVELS) this.#levels.pop();
  }

  /** Return where a level is, or where it would be. */
  #place(key: number): number {
    let [low, high] = [0, this.#levels.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#levels[middle];
      if (other !== undefined && this.#sign * (other.key - key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function levelOf(price: string, quantity: string): Level {
  return { key: priceKey(price), price, quantity, size: Number(quantity) };
}

export type BookState = "waiting" | "live";

/** What became of a message; `hole` means that a new snapshot is needed. */
export type Outcome = "waits" | "old" | "applied" | "hole";

export class OrderBook {
  readonly bids = new BookSide(true);
  readonly asks = new BookSide(false);
  /** The last update that the book contains; 0 before the first snapshot. */
  updateId = 0;
  /** The event time of that update, ms; 0 if only a snapshot is known. */
  eventMs = 0;
  state: BookState = "waiting";
  /** Updates since the last snapshot was asked for. */
  #waiting: DepthUpdate[] = [];
  #isAsked = true;
  /** Whether an update has continued the snapshot. */
  #hasJoined = false;
  /** Whether the last snapshot had a side without levels. */
  #wasEmpty = false;

  /** Begin again: what comes next need not continue what was. */
  reset(): void {
    this.state = "waiting";
    this.#waiting = [];
    this.#isAsked = true;
  }

  /** Keep the updates from now on for a snapshot that is asked for; the book goes on meanwhile. */
  expectSnapshot(): void {
    if (this.#isAsked) return;
    this.#waiting = [];
    this.#isAsked = true;
  }

  /** Take an update of the stream. */
  update(update: DepthUpdate): Outcome {
    if (this.#isAsked) {
      this.#waiting.push(update);
      if (this.#waiting.length > MOST_WAITING) this.#waiting.shift();
    }
    if (this.state === "waiting") return "waits";
    const outcome = this.#apply(update);
    if (outcome === "hole") {
      this.reset();
      this.#waiting.push(update);
    }
    return outcome;
  }

  /**
   * Take a snapshot; return why it cannot be used, or an empty text.
   *
   * Before the stream has said anything, the snapshot is the book.  One without levels on a side is
   * used if the one before it lacked them too: a book may be empty, but then it stays so.
   */
  snapshot(snapshot: DepthSnapshot): string {
    const [bid, ask] = [snapshot.bids[0], snapshot.asks[0]];
    if (bid && ask && priceKey(bid[0]) >= priceKey(ask[0])) return "the snapshot is crossed";
    const later = this.#waiting.filter((each) => each.u > snapshot.lastUpdateId);
    const first = later[0];
    if (first && !continues(first, snapshot.lastUpdateId)) return "the snapshot is too old";
    const [isEmpty, wasEmpty] = [!bid || !ask, this.#wasEmpty];
    this.#wasEmpty = isEmpty;
    if (isEmpty && !wasEmpty)
      return `the snapshot has no ${bid ? "asks" : ask ? "bids" : "levels"}`;
    this.bids.replace(snapshot.bids);
    this.asks.replace(snapshot.asks);
    this.updateId = snapshot.lastUpdateId;
    this.state = "live";
    this.#hasJoined = false;
    this.#isAsked = false;
    this.#waiting = [];
    for (const update of later) {
      if (this.#apply(update) !== "hole") continue;
      this.reset();
      return "an update is missing";
    }
    return "";
  }

  /** The middle between the best prices; undefined if a side is empty. */
  get mid(): number | undefined {
    const [bid, ask] = [this.bids.best, this.asks.best];
    return bid && ask ? keyPrice((bid.key + ask.key) / 2) : undefined;
  }

  /** Whether a bid is not below an ask: never in a market, but faults make it. */
  get isCrossed(): boolean {
    const [bid, ask] = [this.bids.best, this.asks.best];
    return bid !== undefined && ask !== undefined && bid.key >= ask.key;
  }

  #apply(update: DepthUpdate): Outcome {
    if (update.u <= this.updateId) return "old";
    const fits = this.#hasJoined ? update.pu === this.updateId : continues(update, this.updateId);
    if (!fits) return "hole";
    for (const [price, quantity] of update.b) this.bids.set(price, quantity);
    for (const [price, quantity] of update.a) this.asks.set(price, quantity);
    this.updateId = update.u;
    this.eventMs = update.E;
    this.#hasJoined = true;
    return "applied";
  }
}

/** Whether an update is the first one after a snapshot: it covers its id, or follows it. */
function continues(update: DepthUpdate, lastUpdateId: number): boolean {
  return update.U <= lastUpdateId + 1 || update.pu === lastUpdateId;
}
