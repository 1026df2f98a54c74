/** The order book as rows of prices around the middle. */
import "./book.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { useStore } from "../../frame.ts";
import { contracts } from "../../market/contracts.ts";
import { groupSteps, type LadderRow, ladderRows } from "../../market/ladder_rows.ts";
import { fixed, price, quantity } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
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
  const isLive = book.state === "live";
  return (
    <Panel
      title="Order book"
      class="fill book-ladder"
      tools={
        <label class="book-tool">
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
      }
    >
      <BookNote live={live} />
      <div
        ref={box}
        class={`ladder ${isLive ? "" : "ladder-old"}`}
        data-testid="ladder"
        data-u={book.updateId}
        data-state={book.state}
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
          last={live.lastPrice}
          symbol={symbol}
        />
        <Spread live={live} symbol={symbol} />
        <Side
          side="bid"
          rows={bids}
          count={count}
          most={most}
          last={live.lastPrice}
          symbol={symbol}
        />
      </div>
    </Panel>
  );
}

/** Whether the book can be trusted, if not. */
export function BookNote(props: { readonly live: LiveBook }) {
  useStore(props.live);
  const { feed } = props.live;
  const { book, reason } = feed;
  if (book.state !== "live") {
    return (
      <Note kind="warning">The book is not in sync: {reason || "waiting for a snapshot"}.</Note>
    );
  }
  if (reason) return <Note kind="warning">A snapshot was refused: {reason}.</Note>;
  if (book.isCrossed) return <Note kind="warning">Crossed: a bid is not below an ask.</Note>;
  const empty = book.bids.best ? (book.asks.best ? "" : "asks") : "bids";
  if (empty) return <Note kind="warning">There are no {empty}.</Note>;
  return null;
}

/** The rows of a side: always as many, so that nothing jumps; they stay the same elements. */
function Side(props: {
  readonly side: "bid" | "ask";
  readonly rows: readonly LadderRow[];
  readonly count: number;
  readonly most: number;
  readonly last: string;
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
        const isLast = last !== "" && Number(last) === Number(row.price);
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
