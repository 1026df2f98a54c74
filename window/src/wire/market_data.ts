/** What stores need of the server: answers, streams, and to wait. */
import { after } from "../after.ts";
import { type Query, restGet } from "./rest.ts";
import { feed } from "./socket.ts";

export interface MarketData {
  /** Returns the answer to a query, such as `klines`; fails with a sentence. */
  readonly request: (path: string, query: Query) => Promise<unknown>;
  readonly subscribe: (stream: string, handler: (message: unknown) => void) => () => void;
  /** Calls back whenever messages may be missing before the next one, or time went back. */
  readonly onReset: (callback: () => void) => () => void;
  readonly after: (delayMs: number, action: () => void) => () => void;
}

/** The data of the server of this page. */
export const marketData: MarketData = {
  request: (path, query) => restGet(path, query),
  subscribe: (stream, handler) => feed.subscribe(stream, handler),
  onReset: (callback) => feed.onReset(callback),
  after,
};
