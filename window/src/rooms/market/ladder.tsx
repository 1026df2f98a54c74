/** The order book as rows of prices around the middle. */
import "./book.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { useStore } from "../../frame.ts";
import { contracts } from "../../market/contracts.ts";
import { groupSteps, type LadderRow, ladderRows, rowKey } from "../../market/ladder_rows.ts";
import { priceKey } from "../../market/order_book.ts";
import { fixed, price, quantity } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { feed } from "../../wire/socket.ts";
import { type LiveBook, useLiveBook } from "./live_book.ts";

const ROW_HEIGHT = 19;
const LEAST_ROWS = 5;
const MOST_ROWS = 40;

/** Return how many rows of a side fit into an element, followed while its size changes. */
function useRowCount(element: { current: HTMLElement | null }): number {
  const [count, change] = useState(12);
  useEffect(() => {
    const box = element.current;
    if (!box) return;
    const sizes = new ResizeObserver(() => {
      const fitting = Math.floor((box.clientHeight - 2 * ROW_HEIGHT - 14) / (2 * ROW_HEIGHT));
      change(Math.max(LEAST_ROWS, Math.min(MOST_ROWS, fitting)));
    });
    sizes.observe(box);
    return () => sizes.disconnect();
  }, [element]);
  return count;
}

/** Bids and asks by price, with what is to be had up to each. */
export function Ladder(props: { readonly symbol: string }) {
  const { symbol } = props;
  const live = useLiveBook(symbol);
  useStore(live);
  const [step, chooseStep] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const count = useRowCount(box);
  const contract = contracts.value.get(symbol);
  const { book } = live.feed;
  const tickSize = contract?.tickSize ?? 0.01;
  const steps = groupSteps(tickSize, book.mid ?? 1);
  const grouping = {
    step: step === tickSize ? 0 : step,
    priceDecimals: contract?.priceDecimals ?? 2,
    quantityDecimals: contract?.quantityDecimals ?? 3,
  };
  const asks = ladderRows(book.asks.levels, false, count, grouping);
  const bids = ladderRows(book.bids.levels, true, count, grouping);
  const most = Math.max(asks.at(-1)?.total ?? 0, bids.at(-1)?.total ?? 0);
  const state = stateOf(live);
  const lastKey = live.lastPrice === "" ? Number.NaN : priceKey(live.lastPrice);
  const stepKey = priceKey(grouping.step);
  return (
    <Panel
      title="Order book"
      class="fill book-ladder"
      tools={
        <span class="book-tool">
          <Resyncs count={live.feed.resyncs} />
          <label>
            Group{" "}
            <select
              value={String(step || tickSize)}
              onChange={(event) => chooseStep(Number(event.currentTarget.value))}
            >
              {steps.map((each) => (
                <option key={each} value={String(each)}>
                  {each}
                </option>
              ))}
            </select>
          </label>
        </span>
      }
    >
      <BookNote live={live} />
      <div
        ref={box}
        class={`ladder ${state === "live" ? "" : "ladder-old"}`}
        data-testid="ladder"
        data-u={book.updateId}
        data-state={state}
      >
        <div class="ladder-row ladder-head quiet">
          <span>Price</span>
          <span>Quantity</span>
          <span>Total</span>
        </div>
        <Side
          side="ask"
          rows={asks}
          count={count}
          most={most}
          last={rowKey(lastKey, false, stepKey)}
          symbol={symbol}
        />
        <Spread live={live} symbol={symbol} />
        <Side
          side="bid"
          rows={bids}
          count={count}
          most={most}
          last={rowKey(lastKey, true, stepKey)}
          symbol={symbol}
        />
      </div>
    </Panel>
  );
}

/** How far the book can be trusted: `stale` is one whose updates do not arrive. */
function stateOf(live: LiveBook): "waiting" | "live" | "stale" {
  const { state } = live.feed.book;
  return state === "live" && feed.state.value.phase !== "open" ? "stale" : state;
}

/** Whether the book can be trusted, if not; it lies over the book, so that nothing moves. */
export function BookNote(props: { readonly live: LiveBook }) {
  useStore(props.live);
  const said = problemOf(props.live);
  if (!said) return null;
  return (
    <div class="book-note">
      <Note kind="warning">{said}</Note>
    </div>
  );
}

function problemOf(live: LiveBook): string {
  const { book, reason } = live.feed;
  const { phase } = feed.state.value;
  if (phase === "over") return "The streams have ended: this is the last book.";
  if (phase !== "open") {
    return book.updateId > 0 ? "Not connected: this book is old." : "Not connected: no book yet.";
  }
  if (book.state !== "live") {
    return `The book is not in sync: ${reason || "waiting for a snapshot"}.`;
  }
  if (reason) return `A snapshot was refused: ${reason}.`;
  if (book.isCrossed) return "Crossed: the best bid is not below the best ask.";
  if (!book.bids.best && !book.asks.best) return "The book is empty.";
  if (!book.bids.best) return "There are no bids.";
  return book.asks.best ? "" : "There are no asks.";
}

/** How often the book was loaded again. */
function Resyncs(props: { readonly count: number }) {
  const { count } = props;
  if (count === 0) return null;
  const said = `Loaded again ${count} ${count === 1 ? "time" : "times"}, because updates were missing`;
  return (
    <abbr class="quiet book-resyncs" title={said} aria-label={said}>
      ↻ {count}
    </abbr>
  );
}

/** The rows of a side: always as many, so that nothing jumps; they stay the same elements. */
function Side(props: {
  readonly side: "bid" | "ask";
  readonly rows: readonly LadderRow[];
  readonly count: number;
  readonly most: number;
  /** The integer of the row in which the last trade was; no number before the first. */
  readonly last: number;
  readonly symbol: string;
}) {
  const { side, rows, count, most, last } = props;
  const contract = contracts.value.get(props.symbol);
  const places = Array.from({ length: count }, (_, index) =>
    side === "ask" ? count - 1 - index : index,
  );
  return (
    <>
      {places.map((place) => {
        const row = rows[place];
        if (row === undefined) return <div key={place} class="ladder-row" />;
        const isLast = row.key === last;
        return (
          <div
            key={place}
            class="ladder-row"
            data-testid="ladder-row"
            data-side={side}
            data-price={row.price}
            data-quantity={row.quantity}
          >
            <i
              class={`ladder-bar ladder-bar-${side}`}
              style={{ transform: `scaleX(${most > 0 ? row.total / most : 0})` }}
            />
            <span class={side === "bid" ? "up" : "down"}>
              {price(Number(row.price), contract)}
              {isLast && (
                <abbr class="ladder-last" title="Last trade">
                  ◂
                </abbr>
              )}
            </span>
            <span>{quantity(row.size, contract)}</span>
            <span class="quiet">{quantity(row.total, contract)}</span>
          </div>
        );
      })}
    </>
  );
}

/** What lies between the sides. */
function Spread(props: { readonly live: LiveBook; readonly symbol: string }) {
  useStore(props.live);
  const { book } = props.live.feed;
  const contract = contracts.value.get(props.symbol);
  const [bid, ask] = [book.bids.best, book.asks.best];
  if (!bid || !ask) return <div class="ladder-spread">–</div>;
  const spread = Number(ask.price) - Number(bid.price);
  const ticks = Math.round(spread / (contract?.tickSize ?? 1));
  const points = (spread / (book.mid ?? 1)) * 10_000;
  return (
    <div class="ladder-spread" data-testid="spread">
      <span class="quiet">Spread</span> <strong>{price(spread, contract)}</strong>
      <span>
        {ticks} {ticks === 1 ? "tick" : "ticks"}
      </span>
      <span>{fixed(points, 2)} bp</span>
    </div>
  );
}
