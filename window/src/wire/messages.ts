/** Messages of streams and rows of REST answers, as they are on the wire. */

/** `<symbol>@aggTrade`. */
export interface AggTrade {
  /** Event time, ms. */
  readonly E: number;
  /** Symbol. */
  readonly s: string;
  /** Aggregate trade id. */
  readonly a: number;
  /** Price. */
  readonly p: string;
  /** Quantity. */
  readonly q: string;
  /** Trade time, ms. */
  readonly T: number;
  /** Whether the buyer was the maker: the taker sold. */
  readonly m: boolean;
}

/** `<symbol>@depth@100ms`. */
export interface DepthUpdate {
  /** Event time, ms. */
  readonly E: number;
  /** Symbol. */
  readonly s: string;
  /** First update id. */
  readonly U: number;
  /** Last update id. */
  readonly u: number;
  /** Last update id of the message before. */
  readonly pu: number;
  /** Bids: price and quantity. */
  readonly b: readonly (readonly [string, string])[];
  /** Asks: price and quantity. */
  readonly a: readonly (readonly [string, string])[];
}

/** The answer to `depth`. */
export interface DepthSnapshot {
  readonly lastUpdateId: number;
  readonly bids: readonly (readonly [string, string])[];
  readonly asks: readonly (readonly [string, string])[];
}

/** `<symbol>@kline_<interval>`. */
export interface KlineMessage {
  /** Event time, ms. */
  readonly E: number;
  readonly k: {
    /** Open time, ms. */
    readonly t: number;
    /** Close time, ms. */
    readonly T: number;
    /** Interval. */
    readonly i: string;
    /** Open, high, low and close. */
    readonly o: string;
    readonly h: string;
    readonly l: string;
    readonly c: string;
    /** Volume; COIN-M: in contracts. */
    readonly v: string;
    /** Volume in the quote asset; COIN-M: in the base asset. */
    readonly q: string;
    /** Number of trades. */
    readonly n: number;
    /** Whether the candle is closed. */
    readonly x: boolean;
  };
}

/** `<symbol>@ticker`, and the elements of `!ticker@arr`. */
export interface Ticker {
  /** Event time, ms. */
  readonly E: number;
  /** Symbol. */
  readonly s: string;
  /** Change of the price in 24 hours, percent. */
  readonly P: string;
  /** Last price. */
  readonly c: string;
  /** Price 24 hours ago. */
  readonly o: string;
  /** High of 24 hours. */
  readonly h: string;
  /** Low of 24 hours. */
  readonly l: string;
  /** Volume of 24 hours; COIN-M: in contracts. */
  readonly v: string;
  /** Volume of 24 hours in the quote asset (COIN-M: in the base asset). */
  readonly q: string;
}

/** The elements of `!miniTicker@arr`. */
export interface MiniTicker {
  /** Event time, ms. */
  readonly E: number;
  /** Symbol. */
  readonly s: string;
  /** Last price. */
  readonly c: string;
  /** Price 24 hours ago. */
  readonly o: string;
  /** High of 24 hours. */
  readonly h: string;
  /** Low of 24 hours. */
  readonly l: string;
  /** Volume of 24 hours; COIN-M: in contracts. */
  readonly v: string;
  /** Volume of 24 hours in the quote asset; COIN-M: in the base asset. */
  readonly q: string;
}

/** An element of the answer to `ticker/24hr`. */
export interface DayStatistics {
  readonly symbol: string;
  readonly lastPrice: string;
  readonly openPrice: string;
  readonly highPrice: string;
  readonly lowPrice: string;
  readonly volume: string;
  /** USDⓈ-M only. */
  readonly quoteVolume?: string;
  /** COIN-M only. */
  readonly baseVolume?: string;
  readonly closeTime: number;
}

/** An element of the answer to `ticker/bookTicker`. */
export interface BestPrices {
  readonly symbol: string;
  readonly bidPrice: string;
  readonly askPrice: string;
}

/** The answer to `premiumIndex`; COIN-M: its element. */
export interface PremiumIndex {
  readonly symbol: string;
  readonly markPrice: string;
  readonly indexPrice: string;
  /** Empty for delivery contracts. */
  readonly lastFundingRate: string;
  /** Milliseconds; 0 for delivery contracts. */
  readonly nextFundingTime: number;
  readonly time: number;
}

/** The answer to `openInterest`. */
export interface OpenInterest {
  readonly symbol: string;
  /** In the base asset; COIN-M: in contracts. */
  readonly openInterest: string;
  readonly time: number;
}

/** A row of the answers to `klines` and `markPriceKlines`. */
export type KlineRow = readonly [
  openMs: number,
  open: string,
  high: string,
  low: string,
  close: string,
  volume: string,
  closeMs: number,
  /** In the quote asset; COIN-M: in the base asset. */
  turnover: string,
  trades: number,
  ...rest: unknown[],
];

/** `<symbol>@bookTicker`, and `!bookTicker`. */
export interface BookTicker {
  /** Update id. */
  readonly u: number;
  /** Symbol. */
  readonly s: string;
  /** Best bid: price, quantity. */
  readonly b: string;
  readonly B: string;
  /** Best ask: price, quantity. */
  readonly a: string;
  readonly A: string;
}

/** `<symbol>@markPrice@1s`. */
export interface MarkPrice {
  /** Event time, ms. */
  readonly E: number;
  /** Symbol. */
  readonly s: string;
  /** Mark price. */
  readonly p: string;
  /** Index price. */
  readonly i: string;
  /** Funding rate; empty for delivery contracts. */
  readonly r: string;
  /** Next funding time, ms; 0 for delivery contracts. */
  readonly T: number;
}

/** `<symbol>@forceOrder`: a liquidation. */
export interface ForceOrder {
  /** Event time, ms. */
  readonly E: number;
  readonly o: {
    /** Symbol. */
    readonly s: string;
    /** Side of the order: `BUY` or `SELL`. */
    readonly S: string;
    /** Price. */
    readonly p: string;
    /** Average price. */
    readonly ap: string;
    /** Quantity. */
    readonly q: string;
    /** Trade time, ms. */
    readonly T: number;
  };
}
