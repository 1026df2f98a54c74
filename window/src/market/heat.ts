/** The order book over time: a column for each second of market time. */
import type { OrderBook } from "./order_book.ts";
import { keyPrice } from "./order_book.ts";

/** A quarter of an hour. */
export const MOST_COLUMNS = 900;
const SECOND_MS = 1_000;
/** The price range that a column keeps, to each side of the middle, as a share of it. */
const KEPT_SHARE = 0.01;
/** Buckets of a percent of the price. */
const BUCKETS_PER_PERCENT = 400;

/** What the book was like at the end of a second; without sizes if it was not in sync. */
export interface HeatColumn {
  readonly timeMs: number;
  /** The first bucket of `sizes`. */
  readonly first: number;
  /** Quantity by bucket. */
  readonly sizes: Float32Array;
  readonly bid: number;
  readonly ask: number;
  /** The largest trades of the second: price, and quantity with the sign of the taker. */
  trades: { readonly price: number; readonly size: number }[];
}

export class HeatMapHistory {
  /** The oldest first. */
  readonly columns: HeatColumn[] = [];
  /** The price step of a bucket; 0 before the first column. */
  bucket = 0;
  /** Counts columns, so that a picture knows how many are new. */
  added = 0;
  #newestMs = 0;
  #trades: { price: number; size: number }[] = [];
  readonly #tickSize: number;

  constructor(tickSize: number) {
    this.#tickSize = tickSize;
  }

  /** Forget all: the market is another one, or went back. */
  clear(): void {
    this.columns.length = 0;
    this.#trades = [];
    this.#newestMs = 0;
    this.added += 1;
  }

  /** Note a trade; of each second the two largest are kept. */
  trade(price: number, size: number): void {
    const [first, second] = this.#trades;
    if (second !== undefined && Math.abs(size) <= Math.abs(second.size)) return;
    const trade = { price, size };
    if (first === undefined) this.#trades = [trade];
    else if (Math.abs(size) > Math.abs(first.size)) this.#trades = [trade, first];
    else this.#trades = [first, trade];
  }

  /** Look at the book at a time; a new second has a new column, and seconds without one are blank. */
  look(book: OrderBook, eventMs: number): boolean {
    const second = Math.floor(eventMs / SECOND_MS) * SECOND_MS;
    if (second < this.#newestMs - SECOND_MS) this.clear();
    if (eventMs === 0 || second <= this.#newestMs) return false;
    const { mid } = book;
    if (mid === undefined || book.state !== "live") return false;
    if (this.bucket === 0) this.bucket = bucketOf(mid, this.#tickSize);
    const passed = this.#newestMs === 0 ? 1 : (second - this.#newestMs) / SECOND_MS;
    for (let blank = Math.min(passed, MOST_COLUMNS) - 1; blank > 0; blank -= 1) {
      this.#push(blankAt(second - blank * SECOND_MS));
    }
    this.#push({ ...this.#column(book, mid), timeMs: second, trades: this.#trades });
    this.#trades = [];
    this.#newestMs = second;
    return true;
  }

  #push(column: HeatColumn): void {
    this.columns.push(column);
    if (this.columns.length > MOST_COLUMNS) this.columns.shift();
    this.added += 1;
  }

  #column(book: OrderBook, mid: number): Omit<HeatColumn, "timeMs" | "trades"> {
    const first = Math.floor((mid * (1 - KEPT_SHARE)) / this.bucket);
    const last = Math.ceil((mid * (1 + KEPT_SHARE)) / this.bucket);
    const sizes = new Float32Array(last - first + 1);
    for (const { levels } of [book.bids, book.asks]) {
      for (const level of levels) {
        const at = Math.floor(keyPrice(level.key) / this.bucket + 1e-9) - first;
        if (at < 0 || at >= sizes.length) break;
        sizes[at] = (sizes[at] ?? 0) + level.size;
      }
    }
    return {
      first,
      sizes,
      bid: keyPrice(book.bids.best?.key ?? 0),
      ask: keyPrice(book.asks.best?.key ?? 0),
    };
  }
}

function blankAt(timeMs: number): HeatColumn {
  return { timeMs, first: 0, sizes: new Float32Array(0), bid: 0, ask: 0, trades: [] };
}

/** A time without a book: columns from `from` up to, without, `to`. */
export interface Hole {
  readonly from: number;
  readonly to: number;
}

/** Return the times without a book among columns, the oldest first. */
export function holesOf(columns: readonly HeatColumn[]): readonly Hole[] {
  const holes: Hole[] = [];
  let from = -1;
  for (const [index, column] of columns.entries()) {
    if (column.sizes.length > 0) {
      if (from >= 0) holes.push({ from, to: index });
      from = -1;
    } else if (from < 0) from = index;
  }
  if (from >= 0) holes.push({ from, to: columns.length });
  return holes;
}

/**
 * Return the lowest and the highest best price of columns; undefined if none has one.
 *
 * Prices of less than half the last one, or more than twice, are left out: they would hide the others.
 */
export function bestPrices(columns: readonly HeatColumn[]): readonly [number, number] | undefined {
  const last = columns.findLast(({ bid, ask }) => bid > 0 || ask > 0);
  if (last === undefined) return undefined;
  const near = last.bid || last.ask;
  let [low, high] = [near, near];
  for (const { bid, ask } of columns) {
    for (const price of [bid, ask]) {
      if (price < near / 2 || price > near * 2) continue;
      if (price < low) low = price;
      if (price > high) high = price;
    }
  }
  return [low, high];
}

/** Of a picture, the best prices take at most this share, so that it need not move all the time. */
const FILLED_SHARE = 0.75;

/** Return how often `range` must be doubled for prices from `low` to `high`, as a power of two. */
export function widening(low: number, high: number, range: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2((high - low) / (range * FILLED_SHARE))));
}

/** Return the middle of a picture of prices from `low` to `high`: the old one if they are in it. */
export function middleOf(low: number, high: number, range: number, old: number): number {
  if (low >= old - range / 2 && high <= old + range / 2) return old;
  const grid = range / 8;
  return Math.round((low + high) / 2 / grid) * grid;
}

/** Return the price step of buckets: a multiple of the tick, about a 40,000th of the price. */
export function bucketOf(mid: number, tickSize: number): number {
  const ticks = Math.max(1, Math.round(mid / (100 * BUCKETS_PER_PERCENT) / tickSize));
  return Number((ticks * tickSize).toPrecision(10));
}

/** Return the quantity of a column in each of `rows` rows from the price `low`, the lowest first. */
export function rowsOf(
  column: HeatColumn,
  bucket: number,
  low: number,
  rowHeight: number,
  rows: number,
): Float32Array {
  const result = new Float32Array(rows);
  for (const [index, size] of column.sizes.entries()) {
    if (size === 0) continue;
    const row = Math.floor(((column.first + index) * bucket - low) / rowHeight + 1e-9);
    if (row >= 0 && row < rows) result[row] = (result[row] ?? 0) + size;
  }
  return result;
}
