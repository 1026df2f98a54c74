/** The order book that the parts of the room share, with its heat map: one for each contract. */
import { useEffect, useMemo } from "preact/hooks";
import { Store } from "../../frame.ts";
import { BookFeed } from "../../market/book_feed.ts";
import { contracts } from "../../market/contracts.ts";
import { HeatMapHistory } from "../../market/heat.ts";
import { marketData } from "../../wire/market_data.ts";
import type { AggTrade } from "../../wire/messages.ts";

export class LiveBook extends Store {
  readonly feed: BookFeed;
  readonly heat: HeatMapHistory;
  /** The price of the last trade; empty before the first. */
  lastPrice = "";
  #users = 0;
  #ends: (() => void)[] = [];

  constructor(symbol: string) {
    super();
    this.heat = new HeatMapHistory(contracts.peek().get(symbol)?.tickSize ?? 0.01);
    this.feed = new BookFeed(marketData, symbol, (eventMs) => {
      this.heat.look(this.feed.book, eventMs);
      this.touch();
    });
  }

  /** Keep the book while somebody shows it; return what ends that. */
  use(): () => void {
    this.#users += 1;
    if (this.#users === 1) this.#start();
    return () => {
      this.#users -= 1;
      if (this.#users === 0) this.#end();
    };
  }

  #start(): void {
    const { symbol } = this.feed;
    this.feed.start();
    this.#ends = [
      () => this.feed.end(),
      marketData.onReset(() => {
        this.lastPrice = "";
      }),
      marketData.subscribe(`${symbol.toLowerCase()}@aggTrade`, (message) => {
        const trade = message as AggTrade;
        this.lastPrice = trade.p;
        this.heat.trade(Number(trade.p), trade.m ? -Number(trade.q) : Number(trade.q));
        this.touch();
      }),
    ];
  }

  #end(): void {
    for (const end of this.#ends) end();
    this.#ends = [];
  }
}

/** The last one is kept, so that its heat map goes on when somebody shows it again. */
let current: LiveBook | undefined;

/** Return the book of a contract; the parts that show the same contract share it. */
export function useLiveBook(symbol: string): LiveBook {
  const live = useMemo(() => {
    if (current?.feed.symbol !== symbol) current = new LiveBook(symbol);
    return current;
  }, [symbol]);
  useEffect(() => live.use(), [live]);
  return live;
}
