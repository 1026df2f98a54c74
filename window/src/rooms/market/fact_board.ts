/** The figures above the chart: what is known of one contract, and why the rest is not. */
import type {
  KlineMessage,
  MarkPrice,
  MiniTicker,
  OpenInterest,
  PremiumIndex,
} from "../../wire/messages.ts";

export interface Day {
  /** The price 24 hours ago. */
  readonly open: number;
  readonly high: number;
  readonly low: number;
  /** In the base asset; COIN-M: in contracts. */
  readonly volume: number;
  /** In the quote asset; COIN-M: in the base asset. */
  readonly turnover: number;
}

export interface Mark {
  readonly price: number;
  readonly index: number;
  /** NaN for delivery contracts. */
  readonly fundingRate: number;
  /** 0 for delivery contracts. */
  readonly nextFundingMs: number;
}

export type Figure = "day" | "mark" | "openInterest";

export class FactBoard {
  #last = Number.NaN;
  #lastAtMs = 0;
  #direction: -1 | 0 | 1 = 0;
  #day: Day | undefined;
  #mark: Mark | undefined;
  #openInterest = Number.NaN;
  readonly #reasons = new Map<Figure, string>();

  /** NaN if it is not known. */
  get last(): number {
    return this.#last;
  }

  /** How the last price changed last. */
  get direction(): -1 | 0 | 1 {
    return this.#direction;
  }

  get day(): Day | undefined {
    return this.#day;
  }

  get mark(): Mark | undefined {
    return this.#mark;
  }

  /** In the base asset; COIN-M: in contracts; NaN if it is not known. */
  get openInterest(): number {
    return this.#openInterest;
  }

  /** Change of the price in 24 hours, percent; NaN if it is not known. */
  get change(): number {
    return 100 * (this.#last / (this.#day?.open ?? Number.NaN) - 1);
  }

  /** Why a figure is not known; empty if it is. */
  reason(figure: Figure): string {
    return this.#reasons.get(figure) ?? "";
  }

  /** Note why a figure is not known; a last price of before the last reset is none then either. */
  fail(figure: Figure, reason: string): void {
    this.#reasons.set(figure, reason);
    if (figure === "day" && this.#lastAtMs === 0) this.#forgetLast();
  }

  takeTicker(ticker: Omit<MiniTicker, "s">): void {
    if (!(Number(ticker.c) > 0)) {
      this.fail("day", "It was not traded in the last 24 hours.");
      return;
    }
    this.#takeLast(Number(ticker.c), ticker.E);
    this.#day = {
      open: Number(ticker.o),
      high: Number(ticker.h),
      low: Number(ticker.l),
      volume: Number(ticker.v),
      turnover: Number(ticker.q),
    };
    this.#reasons.delete("day");
  }

  takeCandle({ E, k }: KlineMessage): void {
    this.#takeLast(Number(k.c), E);
  }

  takeMark(message: Omit<MarkPrice, "s" | "E">): void {
    this.#mark = {
      price: Number(message.p),
      index: Number(message.i),
      fundingRate: message.r === "" ? Number.NaN : Number(message.r),
      nextFundingMs: message.T,
    };
    this.#reasons.delete("mark");
  }

  takePremium(premium: PremiumIndex): void {
    this.takeMark({
      p: premium.markPrice,
      i: premium.indexPrice,
      r: premium.lastFundingRate,
      T: premium.nextFundingTime,
    });
  }

  takeOpenInterest({ openInterest }: OpenInterest): void {
    this.#openInterest = Number(openInterest);
    this.#reasons.delete("openInterest");
  }

  /** Forget everything: the market is at another time, or another one. */
  reset(): void {
    this.#lastAtMs = 0;
    this.#day = undefined;
    this.#mark = undefined;
    this.#openInterest = Number.NaN;
    this.#reasons.clear();
  }

  /** Forget also the last price: it is another contract. */
  forget(): void {
    this.reset();
    this.#forgetLast();
  }

  #forgetLast(): void {
    this.#last = Number.NaN;
    this.#direction = 0;
  }

  /** Of candle and ticker, which come at different times, the later one has the last price. */
  #takeLast(last: number, atMs: number): void {
    if (atMs < this.#lastAtMs) return;
    const direction = Math.sign(last - this.#last);
    if (direction === 1 || direction === -1) this.#direction = direction;
    this.#last = last;
    this.#lastAtMs = atMs;
  }
}

/** Return the time until the next funding, `HH:MM:SS`, by market time. */
export function countdown(nextMs: number, nowMs: number): string {
  const leftS = Math.max(0, Math.ceil((nextMs - nowMs) / 1_000));
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(Math.floor(leftS / 3_600))}:${two(Math.floor((leftS % 3_600) / 60))}:${two(leftS % 60)}`;
}
