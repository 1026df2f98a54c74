/** The last trades. */
import "./book.css";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Store, useStore } from "../../frame.ts";
import { contracts } from "../../market/contracts.ts";
import {
  Tape as Entries,
  MOST_ENTRIES,
  type PastTrade,
  type TapeEntry,
} from "../../market/tape.ts";
import { clockTime, price, quantity } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { marketData } from "../../wire/market_data.ts";
import type { AggTrade, ForceOrder } from "../../wire/messages.ts";

/** Past trades that are asked for; they cost 20 of request weight, however many. */
const PAST = 100;
const SHOWN = 60;
const HEAD_START_MS = 500;

class LiveTape extends Store {
  readonly entries = new Entries();
  /** Why past trades are missing; empty if they are not. */
  problem = "";
  readonly #symbol: string;
  /** The newest entry when past trades were wanted. */
  #before: TapeEntry | undefined;
  #cancelRefill: (() => void) | undefined;

  constructor(symbol: string) {
    super();
    this.#symbol = symbol;
  }

  start(): () => void {
    const name = this.#symbol.toLowerCase();
    const ends = [
      marketData.subscribe(`${name}@aggTrade`, (message) => {
        this.entries.add(message as AggTrade);
        this.touch();
      }),
      marketData.subscribe(`${name}@forceOrder`, (message) => {
        this.entries.addLiquidation(message as ForceOrder);
        this.touch();
      }),
      marketData.onReset(() => this.#refill()),
    ];
    this.#refill();
    return () => {
      this.#cancelRefill?.();
      for (const end of ends) end();
    };
  }

  /** Begin again with the past trades, as soon as the streams run. */
  #refill(): void {
    this.#cancelRefill?.();
    this.#before = this.entries.entries[0];
    this.#cancelRefill = marketData.after(HEAD_START_MS, () => void this.#fill());
  }

  async #fill(): Promise<void> {
    try {
      const query = { symbol: this.#symbol, limit: PAST };
      const past = (await marketData.request("aggTrades", query)) as PastTrade[];
      // The market was set to a time before its first trade.
      if (past.length === 0 && this.entries.entries[0] === this.#before) this.entries.clear();
      this.entries.fill(past);
      this.problem = "";
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
    this.touch();
  }
}

/** Aggregate trades and liquidations, the newest first; it stands still under the pointer. */
export function Tape(props: { readonly symbol: string }) {
  const { symbol } = props;
  const live = useMemo(() => new LiveTape(symbol), [symbol]);
  useEffect(() => live.start(), [live]);
  useStore(live);
  const [least, change] = useState(0);
  const [held, hold] = useState<readonly TapeEntry[] | undefined>();
  const contract = contracts.value.get(symbol);
  const wanted = (held ?? live.entries.entries).filter(
    (each) => each.size >= least || (each.kind === "gap" && least === 0),
  );
  const shown = wanted.slice(0, SHOWN);
  const largest = Math.max(0, ...shown.map((each) => each.size));
  return (
    <Panel
      title="Trades"
      class="fill book-tape"
      tools={
        <label class="book-tool">
          at least{" "}
          <input
            class="tape-least"
            type="number"
            min={0}
            step="any"
            value={least || ""}
            placeholder="0"
            aria-label="Least quantity"
            onInput={(event) => change(Math.max(0, Number(event.currentTarget.value) || 0))}
          />
          {held && <span class="quiet"> held</span>}
        </label>
      }
    >
      {live.problem && <Note kind="info">Past trades are missing: {live.problem}.</Note>}
      <ol
        class="tape"
        aria-label={`Last trades of ${symbol}`}
        data-testid="tape"
        onPointerEnter={(event) => event.pointerType === "mouse" && hold(live.entries.entries)}
        onPointerLeave={() => hold(undefined)}
      >
        {shown.map((each) => (
          <Entry key={each.id} entry={each} largest={largest} contract={contract} />
        ))}
        {shown.length === 0 && (
          <li class="quiet tape-empty">
            {least > 0 ? `None of the last ${MOST_ENTRIES} trades is as large.` : "No trade yet."}
          </li>
        )}
      </ol>
    </Panel>
  );
}

function Entry(props: {
  readonly entry: TapeEntry;
  readonly largest: number;
  readonly contract: Parameters<typeof price>[1];
}) {
  const { entry, largest, contract } = props;
  if (entry.kind === "gap") {
    return (
      <li class="tape-row tape-gap">
        <span>▲ {entry.missing.toLocaleString("en")} trades are missing</span>
      </li>
    );
  }
  const isBuy = entry.side === "buy";
  const said = `${isBuy ? "bought" : "sold"}${entry.kind === "liquidation" ? ", liquidation" : ""}`;
  return (
    <li
      class={`tape-row ${entry.kind === "liquidation" ? "tape-liquidation" : ""}`}
      data-testid="tape-row"
      data-id={entry.id}
      data-side={entry.side}
    >
      <i
        class={`ladder-bar ladder-bar-${isBuy ? "bid" : "ask"}`}
        style={{ transform: `scaleX(${largest > 0 ? Math.sqrt(entry.size / largest) : 0})` }}
      />
      <span class={isBuy ? "up" : "down"} title={said}>
        {isBuy ? "▲" : "▼"} {price(Number(entry.price), contract)}
      </span>
      <span>
        {entry.kind === "liquidation" && <abbr title="Liquidation">LIQ</abbr>}{" "}
        {quantity(entry.size, contract)}
      </span>
      <span class="quiet">{clockTime(entry.timeMs)}</span>
    </li>
  );
}
