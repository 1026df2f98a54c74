/** The last trades of a contract: aggregates, and liquidations among them. */
import type { AggTrade, ForceOrder } from "../wire/messages.ts";

export const MOST_ENTRIES = 500;
/** A lower id whose time is later by more than this is of a server that counts anew. */
const ANEW_MS = 1_000;
/** A lower id whose time is earlier by more than this is of a market that was set back. */
const BACK_MS = 2_000;

export interface TapeEntry {
  /** Unique: of a trade its id, of a liquidation and a gap a text. */
  readonly id: string;
  readonly kind: "trade" | "liquidation" | "gap";
  readonly timeMs: number;
  /** As it was on the wire; empty for a gap. */
  readonly price: string;
  readonly quantity: string;
  readonly size: number;
  /** Which side took the order of the other. */
  readonly side: "buy" | "sell";
  /** How many aggregates are missing here. */
  readonly missing: number;
}

/** An aggregate as REST has it: without event time and symbol. */
export type PastTrade = Pick<AggTrade, "a" | "p" | "q" | "T" | "m">;

export class Tape {
  /** The newest first. */
  entries: readonly TapeEntry[] = [];
  #newestId = 0;
  #newestMs = 0;
  #liquidations = 0;

  /** Forget all. */
  clear(): void {
    this.entries = [];
    this.#newestId = 0;
    this.#newestMs = 0;
  }

  /**
   * Add a trade of the stream; one that is known is left out, and missing ones are told.
   *
   * If it shows that the ids began anew or the market was set back, all others are forgotten.
   */
  add(trade: PastTrade): void {
    if (trade.a <= this.#newestId) {
      if (!this.#isOfAnother(trade)) return;
      this.clear();
    }
    const missing = this.#newestId === 0 ? 0 : trade.a - this.#newestId - 1;
    const fresh =
      missing > 0 ? [entryOf(trade), gapAt(trade.a, trade.T, missing)] : [entryOf(trade)];
    this.#newestId = trade.a;
    this.#newestMs = trade.T;
    this.#prepend(fresh);
  }

  /** Add past trades, the oldest first: they go where they belong, and fill what is missing. */
  fill(past: readonly PastTrade[]): void {
    const last = past.at(-1);
    if (last === undefined) return;
    if (last.a < this.#newestId && this.#isOfAnother(last)) this.clear();
    const known = new Map<number, TapeEntry>();
    for (const each of past) known.set(each.a, entryOf(each));
    for (const each of this.entries) if (each.kind === "trade") known.set(Number(each.id), each);
    const others = this.entries.filter(({ kind }) => kind === "liquidation");
    const ids = [...known.keys()].sort((a, b) => b - a);
    const trades: TapeEntry[] = [];
    for (const [index, id] of ids.entries()) {
      const entry = known.get(id);
      if (entry === undefined) continue;
      trades.push(entry);
      const missing = id - (ids[index + 1] ?? id - 1) - 1;
      if (missing > 0) trades.push(gapAt(id, entry.timeMs, missing));
    }
    this.#newestId = ids[0] ?? 0;
    this.#newestMs = known.get(this.#newestId)?.timeMs ?? 0;
    this.entries = [...trades, ...others]
      .sort((a, b) => b.timeMs - a.timeMs)
      .slice(0, MOST_ENTRIES);
  }

  addLiquidation(order: ForceOrder): void {
    this.#liquidations += 1;
    const { o } = order;
    this.#prepend([
      {
        id: `liquidation ${this.#liquidations}`,
        kind: "liquidation",
        timeMs: o.T,
        price: o.ap,
        quantity: o.q,
        size: Number(o.q),
        side: o.S === "BUY" ? "buy" : "sell",
        missing: 0,
      },
    ]);
  }

  /** Whether a trade whose id is not the highest cannot be of the market that was shown. */
  #isOfAnother(trade: PastTrade): boolean {
    if (trade.T > this.#newestMs + ANEW_MS) return true;
    if (trade.T >= this.#newestMs - BACK_MS) return false;
    return !this.entries.some(({ id, timeMs }) => id === String(trade.a) && timeMs === trade.T);
  }

  #prepend(fresh: readonly TapeEntry[]): void {
    this.entries = [...fresh, ...this.entries.slice(0, MOST_ENTRIES - fresh.length)];
  }
}

function entryOf(trade: PastTrade): TapeEntry {
  return {
    id: String(trade.a),
    kind: "trade",
    timeMs: trade.T,
    price: trade.p,
    quantity: trade.q,
    size: Number(trade.q),
    side: trade.m ? "sell" : "buy",
    missing: 0,
  };
}

function gapAt(id: number, timeMs: number, missing: number): TapeEntry {
  const nothing = { price: "", quantity: "", size: 0, side: "buy" as const };
  return { id: `gap before ${id}`, kind: "gap", timeMs, ...nothing, missing };
}
