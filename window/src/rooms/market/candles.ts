/** The candles of one contract and interval: history from requests and live candles as one series. */

export const INTERVALS = [
  "1m",
  "3m",
  "5m",
  "15m",
  "30m",
  "1h",
  "2h",
  "4h",
  "6h",
  "8h",
  "12h",
  "1d",
  "3d",
  "1w",
  "1M",
] as const;
export type Interval = (typeof INTERVALS)[number];

/** Candles that are kept; when a few more have come, the oldest go. */
export const MOST_CANDLES = 10_000;
const SLACK = 500;

export interface Candle {
  readonly openMs: number;
  readonly closeMs: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  /** In the base asset; COIN-M: in contracts. */
  readonly volume: number;
  /** In the quote asset; COIN-M: in the base asset. */
  readonly turnover: number;
  /** The number of trades: of two states of a candle, the one with more is the later one. */
  readonly trades: number;
}

/** What has to be drawn again: everything, or the candles from an index on. */
export interface Changes {
  readonly all: boolean;
  readonly from: number;
}

export class CandleSeries {
  #candles: Candle[] = [];
  readonly #markPrices = new Map<number, number>();
  #waitingMark: { readonly price: number; readonly timeMs: number } | undefined;
  #all = true;
  #from = 0;

  /** The oldest first, each open time once. */
  get candles(): readonly Candle[] {
    return this.#candles;
  }

  get newest(): Candle | undefined {
    return this.#candles.at(-1);
  }

  /** The candle that opened at `openMs`. */
  candleAt(openMs: number): Candle | undefined {
    const candle = this.#candles[this.#indexOf(openMs)];
    return candle?.openMs === openMs ? candle : undefined;
  }

  /** Whether no older candles fit. */
  get isFull(): boolean {
    return this.#candles.length >= MOST_CANDLES;
  }

  /** The mark price at the end of the candle that opened at `openMs`, as far as known. */
  markPriceAt(openMs: number): number | undefined {
    return this.#markPrices.get(openMs);
  }

  /** Return what has changed since this was asked last. */
  takeChanges(): Changes {
    const changes = { all: this.#all, from: this.#from };
    this.#all = false;
    this.#from = this.#candles.length;
    return changes;
  }

  /**
   * Take the newest candles, as just requested.
   *
   * What is held stays if these candles continue it.  Otherwise it is of another market, or of
   * another time of it, and is forgotten; with `isSameMarket`, what was requested counts where it
   * differs.
   */
  takeTail(rows: readonly Candle[], isSameMarket: boolean): void {
    const [first, last] = [rows[0], rows.at(-1)];
    const newest = this.newest;
    this.#all = true;
    if (first === undefined || last === undefined || newest === undefined) {
      this.#replace(rows);
      return;
    }
    const doesReach = first.openMs <= newest.closeMs + 1;
    if (!doesReach || (!isSameMarket && !this.#isContinuedBy(rows))) {
      this.#replace(rows);
      return;
    }
    const older = this.#candles.slice(0, this.#indexOf(first.openMs));
    const newer = this.#candles.slice(this.#indexOf(last.openMs + 1));
    const isAhead = newest.openMs === last.openMs && newest.trades > last.trades && isSameMarket;
    const tail = isAhead ? [...rows.slice(0, -1), newest] : rows;
    this.#candles = [...older, ...tail, ...newer];
    this.#trim();
  }

  /** Take candles older than all that are held; return how many were new. */
  takeOlder(rows: readonly Candle[]): number {
    const first = this.#candles[0];
    const older = first === undefined ? rows : rows.filter(({ openMs }) => openMs < first.openMs);
    const added = older.slice(Math.max(0, older.length + this.#candles.length - MOST_CANDLES));
    this.#candles = [...added, ...this.#candles];
    this.#all = true;
    return added.length;
  }

  /** Take a live candle; return whether candles are missing between it and the newest before. */
  take(candle: Candle): boolean {
    const newest = this.newest;
    if (newest === undefined || candle.openMs > newest.openMs) {
      const isMissing = newest !== undefined && candle.openMs !== newest.closeMs + 1;
      this.#change(this.#candles.length);
      this.#all ||= isMissing;
      this.#candles.push(candle);
      this.#placeWaitingMark(candle);
      this.#trim();
      return isMissing;
    }
    const index = this.#indexOf(candle.openMs);
    const held = this.#candles[index];
    if (held?.openMs === candle.openMs) {
      if (candle.trades < held.trades) return false;
      this.#candles[index] = candle;
      this.#change(index);
    } else if (index > 0) {
      this.#candles.splice(index, 0, candle);
      this.#all = true;
    }
    return false;
  }

  /** Take mark prices at the ends of candles, by open time. */
  takeMarkPrices(prices: Iterable<readonly [openMs: number, price: number]>): void {
    for (const [openMs, price] of prices) this.#markPrices.set(openMs, price);
    this.#all = true;
    this.#forgetMarkPrices();
  }

  /** Take the present mark price: it belongs to the newest candle, or to one that is to come. */
  takeMarkPrice(price: number, timeMs: number): void {
    const newest = this.newest;
    if (newest === undefined || timeMs > newest.closeMs) {
      this.#waitingMark = { price, timeMs };
    } else if (timeMs >= newest.openMs && this.#markPrices.get(newest.openMs) !== price) {
      this.#markPrices.set(newest.openMs, price);
      this.#change(this.#candles.length - 1);
    }
  }

  #placeWaitingMark(candle: Candle): void {
    const waiting = this.#waitingMark;
    if (waiting === undefined || waiting.timeMs > candle.closeMs) return;
    if (waiting.timeMs >= candle.openMs) this.#markPrices.set(candle.openMs, waiting.price);
    this.#waitingMark = undefined;
  }

  #replace(rows: readonly Candle[]): void {
    this.#candles = rows.slice(-MOST_CANDLES);
    this.#markPrices.clear();
    this.#waitingMark = undefined;
    this.#all = true;
  }

  /** Whether these rows can be of the same market, later: closed candles do not change. */
  #isContinuedBy(rows: readonly Candle[]): boolean {
    const newest = this.newest;
    const last = rows.at(-1);
    if (newest === undefined || last === undefined || last.openMs < newest.openMs) return false;
    const held = new Map(this.#candles.slice(0, -1).map((each) => [each.openMs, each]));
    return rows.every((row) => {
      if (row.openMs === newest.openMs) return row.trades >= newest.trades;
      const before = held.get(row.openMs);
      return before === undefined || isSame(before, row);
    });
  }

  /** The index of the first candle that opened at `openMs` or later. */
  #indexOf(openMs: number): number {
    let [low, high] = [0, this.#candles.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#candles[middle]?.openMs ?? 0) < openMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #change(index: number): void {
    this.#from = Math.min(this.#from, index);
  }

  #trim(): void {
    if (this.#candles.length <= MOST_CANDLES + SLACK) return;
    this.#candles = this.#candles.slice(-MOST_CANDLES);
    this.#all = true;
    this.#forgetMarkPrices();
  }

  #forgetMarkPrices(): void {
    if (this.#markPrices.size <= MOST_CANDLES + SLACK) return;
    const firstMs = this.#candles[0]?.openMs ?? 0;
    for (const openMs of this.#markPrices.keys()) {
      if (openMs < firstMs) this.#markPrices.delete(openMs);
    }
  }
}

function isSame(a: Candle, b: Candle): boolean {
  return (
    a.open === b.open &&
    a.high === b.high &&
    a.low === b.low &&
    a.close === b.close &&
    a.volume === b.volume
  );
}

/** Gaps longer than this are drawn as one step. */
const WIDEST_GAP = 300;

/**
 * Return the open times of candles, and of those missing between them, so that a gap in time is a
 * gap in the chart.  Months have no fixed length: gaps between them stay closed.
 */
export function openTimes(candles: readonly Candle[]): number[] {
  const times: number[] = [];
  let before: Candle | undefined;
  for (const candle of candles) {
    if (before !== undefined) {
      const lengthMs = before.closeMs + 1 - before.openMs;
      const missing = (candle.openMs - before.closeMs - 1) / lengthMs;
      if (Number.isInteger(missing) && missing <= WIDEST_GAP) {
        for (let n = 1; n <= missing; n++) times.push(before.openMs + n * lengthMs);
      }
    }
    times.push(candle.openMs);
    before = candle;
  }
  return times;
}
