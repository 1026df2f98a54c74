/** The state of all symbols of the venue, as the watch list shows it. */
import type { Contract } from "../../market/contracts.ts";
import { type Sorting, sorted } from "../../parts/sorting.ts";
import type { BestPrices, BookTicker, DayStatistics, MiniTicker } from "../../wire/messages.ts";

/** What is not known yet is NaN. */
export interface WatchRow {
  readonly contract: Contract;
  readonly last: number;
  /** The price 24 hours ago. */
  readonly open: number;
  /** In 24 hours, percent. */
  readonly change: number;
  readonly bid: number;
  readonly ask: number;
  /** Of 24 hours, in the quote asset. */
  readonly volume: number;
  /** How the last price changed last. */
  readonly direction: -1 | 0 | 1;
  /** How often the last price has changed. */
  readonly changes: number;
  /** Whether all this may be of another time of the market. */
  readonly isStale: boolean;
}

export type WatchColumn = "symbol" | "last" | "change" | "spread" | "volume";

const KEYS: Readonly<Record<WatchColumn, (row: WatchRow) => number | string>> = {
  symbol: (row) => row.contract.symbol,
  last: (row) => row.last,
  change: (row) => row.change,
  spread: spreadBp,
  volume: (row) => row.volume,
};

export class WatchBoard {
  readonly #rows = new Map<string, WatchRow>();

  get rows(): ReadonlyMap<string, WatchRow> {
    return this.#rows;
  }

  /** Follow the listed contracts: new ones have a row without numbers, others that are gone have none. */
  setContracts(contracts: ReadonlyMap<string, Contract>): void {
    const before = new Map(this.#rows);
    this.#rows.clear();
    for (const [symbol, contract] of contracts) {
      const row = before.get(symbol);
      this.#rows.set(symbol, row === undefined ? emptyRow(contract) : { ...row, contract });
    }
  }

  takeTickers(tickers: readonly MiniTicker[]): void {
    for (const each of tickers) {
      this.#takeDay(each.s, Number(each.c), Number(each.o), Number(each.v), Number(each.q));
    }
  }

  /** Take the statistics of all contracts; of those that have none, nothing is known. */
  takeDays(days: readonly DayStatistics[]): void {
    for (const each of days) {
      const turnover = Number(each.quoteVolume ?? each.baseVolume);
      const [last, open] = [Number(each.lastPrice), Number(each.openPrice)];
      // A contract that was not traded has zeros.
      const isTraded = last > 0;
      const none = Number.NaN;
      const volume = Number(each.volume);
      this.#takeDay(each.symbol, isTraded ? last : none, isTraded ? open : none, volume, turnover);
    }
    this.#forgetStale();
  }

  #forgetStale(): void {
    for (const [symbol, row] of this.#rows) {
      if (row.isStale) this.#rows.set(symbol, emptyRow(row.contract));
    }
  }

  takeQuote(quote: BookTicker): void {
    this.#takeQuote(quote.s, Number(quote.b), Number(quote.a));
  }

  takeQuotes(quotes: readonly BestPrices[]): void {
    for (const each of quotes) {
      this.#takeQuote(each.symbol, Number(each.bidPrice), Number(each.askPrice));
    }
  }

  /** What is shown may be of another time from now on, until it is told again. */
  reset(): void {
    for (const [symbol, row] of this.#rows) this.#rows.set(symbol, { ...row, isStale: true });
  }

  /** How many rows have no numbers, or such as may be of another time. */
  get unknown(): number {
    let count = 0;
    for (const row of this.#rows.values()) if (row.isStale || Number.isNaN(row.last)) count += 1;
    return count;
  }

  /** Return the rows whose symbol or type has all words of `search`, in an order. */
  view(search: string, sorting: Sorting | undefined): readonly WatchRow[] {
    const words = search.toUpperCase().split(/\s+/).filter(Boolean);
    const rows = [...this.#rows.values()].filter(({ contract }) => {
      const text = `${contract.symbol} ${contract.contractType} ${contract.underlyingType}`;
      return words.every((word) => text.toUpperCase().includes(word));
    });
    const key = KEYS[sorting?.column as WatchColumn] as (typeof KEYS)[WatchColumn] | undefined;
    return sorted(rows, key, sorting?.descending);
  }

  #takeDay(symbol: string, last: number, open: number, volume: number, turnover: number): void {
    const row = this.#rows.get(symbol);
    if (row === undefined) return;
    const direction = row.isStale ? 0 : Math.sign(last - row.last);
    this.#rows.set(symbol, {
      ...row,
      last,
      open,
      change: 100 * (last / open - 1),
      volume: row.contract.contractSize ? volume * row.contract.contractSize : turnover,
      direction: direction === 1 || direction === -1 ? direction : row.direction,
      changes: row.changes + (direction ? 1 : 0),
      isStale: false,
    });
  }

  #takeQuote(symbol: string, bid: number, ask: number): void {
    const row = this.#rows.get(symbol);
    if (row === undefined) return;
    // An empty side has the price 0.
    const known = (price: number): number => (price > 0 ? price : Number.NaN);
    this.#rows.set(symbol, { ...row, bid: known(bid), ask: known(ask) });
  }
}

/** Return the spread in hundredths of a percent of the price. */
export function spreadBp({ bid, ask }: WatchRow): number {
  return (20_000 * (ask - bid)) / (ask + bid);
}

/** Return the spread in ticks. */
export function spreadTicks({ bid, ask, contract }: WatchRow): number {
  return Math.round((ask - bid) / contract.tickSize);
}

function emptyRow(contract: Contract): WatchRow {
  const none = Number.NaN;
  return {
    contract,
    last: none,
    open: none,
    change: none,
    bid: none,
    ask: none,
    volume: none,
    direction: 0,
    changes: 0,
    isStale: false,
  };
}

/** Rows of a long list that are made, and the heights that stand for the others. */
export interface Excerpt {
  readonly from: number;
  readonly to: number;
}

const MARGIN = 6;

/** Return which of `count` rows can be seen, with a few on either side. */
export function visibleRows(
  count: number,
  rowHeight: number,
  scrollTop: number,
  height: number,
): Excerpt {
  const from = Math.max(0, Math.min(count, Math.floor(scrollTop / rowHeight)) - MARGIN);
  const to = Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + MARGIN);
  return { from, to: Math.max(from, to) };
}
