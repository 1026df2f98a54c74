/** All contracts of the venue, to be compared and chosen from. */
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { bind, explain } from "../../keys.ts";
import { compact, fixed, percent, price, UNKNOWN } from "../../parts/format.ts";
import { orderText, sortingOf } from "../../parts/sorting.ts";
import { go, route } from "../../route.ts";
import {
  spreadBp,
  spreadTicks,
  visibleRows,
  type WatchColumn,
  type WatchRow,
} from "./watch_board.ts";
import { board, followWatchList, sparks, spreadSource, watchVersion } from "./watch_feed.ts";

const ROW_HEIGHT = 24;
const COLUMNS: readonly { id: WatchColumn; title: string; hint: string }[] = [
  { id: "symbol", title: "Symbol", hint: "By name" },
  { id: "last", title: "Last", hint: "Last price" },
  { id: "change", title: "24 h", hint: "Change of the price in 24 hours" },
  { id: "spread", title: "Spread bp", hint: "In hundredths of a percent of the price" },
  { id: "volume", title: "Volume", hint: "Volume of 24 hours, in the quote asset" },
];

const DEFAULT_ORDER = "-volume";

const search = signal("");

/** The watch list: `/` searches, arrows move, Enter opens. */
export function WatchList(props: {
  readonly symbol: string;
  /** Called when a contract has been chosen. */
  readonly onChoose?: () => void;
}) {
  void watchVersion.value;
  const sorting = sortingOf(route.value.params.sort || DEFAULT_ORDER);
  const rows = board.view(search.value, sorting);
  const input = useRef<HTMLInputElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const table = useRef<HTMLTableElement>(null);
  const [active, setActive] = useState(props.symbol);
  const [scroll, setScroll] = useState({ top: 0, height: 600 });
  const { from, to } = visibleRows(rows.length, ROW_HEIGHT, scroll.top, scroll.height);
  const shown = rows.slice(from, to);
  const isActiveShown = shown.some(({ contract }) => contract.symbol === active);
  const pointer = isActiveShown ? { "aria-activedescendant": rowId(active) } : {};

  useEffect(followWatchList, []);
  useEffect(() => {
    const ends = [
      bind("/", "Search symbols", () => input.current?.focus()),
      explain("↑ ↓ Enter", "Choose a symbol, while the search or the list has the focus"),
    ];
    return () => {
      for (const end of ends) end();
    };
  }, []);
  useEffect(() => setActive(props.symbol), [props.symbol]);
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const measure = (): void =>
      setScroll({ top: element.scrollTop, height: element.clientHeight || 600 });
    const sizes = new ResizeObserver(measure);
    sizes.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      sizes.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);
  useEffect(() => {
    // The server knows no candles of a contract that is only announced.
    const listed = shown.filter(({ contract }) => contract.status !== "PENDING_TRADING");
    sparks.want(listed.map(({ contract }) => contract.symbol));
  });

  const choose = (symbol: string): void => {
    go({ symbol });
    props.onChoose?.();
  };
  const move = (to: number): void => {
    const index = Math.max(0, Math.min(rows.length - 1, to));
    const row = rows[index];
    const element = scroller.current;
    if (row === undefined || element === null) return;
    setActive(row.contract.symbol);
    const top = index * ROW_HEIGHT;
    const page = element.clientHeight - 2 * ROW_HEIGHT;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top > element.scrollTop + page) element.scrollTop = top - page;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = rows.findIndex(({ contract }) => contract.symbol === active);
    const page = Math.max(1, Math.floor(scroll.height / ROW_HEIGHT) - 2);
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
    };
    const isInput = event.target === input.current;
    const isList = event.target === table.current;
    if (isList) Object.assign(steps, { Home: 0, End: rows.length - 1 });
    const step = steps[event.key];
    if (step !== undefined) move(step);
    else if (event.key === "Enter" && (isInput || isList)) {
      const row = rows[at] ?? rows[0];
      if (row === undefined) return;
      choose(row.contract.symbol);
      // Keys are the page's again, and the arrows go on in the list.
      table.current?.focus({ preventScroll: true });
    } else if (event.key === "Escape" && isInput) {
      if (search.value) search.value = "";
      else input.current?.blur();
    } else return;
    event.preventDefault();
  };
  const sortBy = (column: WatchColumn): void => {
    const isAgain = sorting.column === column;
    const descending = isAgain ? !sorting.descending : column !== "symbol";
    const order = orderText({ column, descending });
    go({ params: { sort: order === DEFAULT_ORDER ? "" : order } });
  };
  return (
    <section class="panel watch" aria-label="Watch list" onKeyDown={onKeyDown}>
      <header class="panel-head">
        <h2>Symbols</h2>
        <input
          ref={input}
          type="search"
          class="watch-search"
          placeholder="Search  /"
          aria-label="Search symbols"
          aria-controls="watch-rows"
          value={search.value}
          onInput={(event) => {
            search.value = event.currentTarget.value;
            if (scroller.current) scroller.current.scrollTop = 0;
          }}
        />
        <output class="quiet" aria-label="Symbols found">
          {rows.length === board.rows.size ? rows.length : `${rows.length} of ${board.rows.size}`}
        </output>
      </header>
      <div class="watch-scroll" ref={scroller}>
        <table
          id="watch-rows"
          ref={table}
          // biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: arrow keys move in it
          role="grid"
          tabIndex={0}
          aria-label="Symbols"
          {...pointer}
          aria-rowcount={rows.length + 1}
          class="watch-table"
        >
          <thead class="watch-head">
            <tr>
              {COLUMNS.map(({ id, title, hint }) => {
                const isSorted = sorting.column === id;
                const direction = sorting.descending ? "descending" : "ascending";
                const sign = sorting.descending ? "▾" : "▴";
                return (
                  <th
                    key={id}
                    scope="col"
                    class={`watch-${id} ${id === "symbol" ? "" : "number"}`}
                    aria-sort={isSorted ? direction : "none"}
                    title={id === "spread" ? `${hint}, ${spreadSource.value}` : hint}
                  >
                    <button type="button" onClick={() => sortBy(id)}>
                      {title}
                      <span aria-hidden="true">{isSorted ? sign : ""}</span>
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            <Gap rows={from} />
            {shown.map((row, i) => (
              <Row
                key={row.contract.symbol}
                row={row}
                index={from + i}
                isChosen={row.contract.symbol === props.symbol}
                isActive={row.contract.symbol === active}
                onChoose={choose}
              />
            ))}
            <Gap rows={rows.length - to} />
          </tbody>
        </table>
        {rows.length === 0 && search.value && (
          <p class="quiet watch-none">No symbol matches “{search.value}”.</p>
        )}
      </div>
    </section>
  );
}

function Gap(props: { readonly rows: number }) {
  if (props.rows <= 0) return null;
  return (
    <tr>
      <td
        class="watch-gap"
        colSpan={COLUMNS.length}
        style={{ height: `${props.rows * ROW_HEIGHT}px` }}
      />
    </tr>
  );
}

function Row(props: {
  readonly row: WatchRow;
  readonly index: number;
  readonly isChosen: boolean;
  readonly isActive: boolean;
  readonly onChoose: (symbol: string) => void;
}) {
  const { row, index, isChosen, isActive } = props;
  const { contract, last, change, direction, changes } = row;
  const { symbol, status } = contract;
  const bp = spreadBp(row);
  const sign = { "-1": "▾", "0": "", "1": "▴" }[direction];
  const flash = changes === 0 ? "" : `flash-${direction > 0 ? "up" : "down"}-${changes % 2}`;
  const ticks = spreadTicks(row);
  const quote = Number.isNaN(bp)
    ? "Bid and ask are not known."
    : `Bid ${price(row.bid, contract)}, ask ${price(row.ask, contract)}: ${ticks} tick${ticks === 1 ? "" : "s"}`;
  return (
    <tr
      data-testid="watch-row"
      data-symbol={symbol}
      data-last={Number.isNaN(last) ? "" : last}
      aria-rowindex={index + 2}
      id={rowId(symbol)}
      aria-selected={isChosen}
      class={`watch-row ${isChosen ? "chosen" : ""} ${isActive ? "active" : ""} ${row.isStale ? "stale" : ""}`}
      onClick={() => props.onChoose(symbol)}
    >
      <td>
        <div class="watch-name" title={`${symbol}, ${spoken(contract.contractType)}`}>
          <button type="button" tabIndex={-1}>
            {symbol}
          </button>
          {status === "TRADING" ? (
            <Sparkline closes={sparks.closes(symbol)} last={last} />
          ) : (
            <span class="watch-status" title={`Status ${status}`}>
              {spoken(status)}
            </span>
          )}
        </div>
      </td>
      <td class="number">
        <span class={`watch-last ${flash}`}>
          <span class={direction < 0 ? "down" : "up"}>{sign}</span> {price(last, contract)}
        </span>
      </td>
      <td class={`number ${change > 0 ? "up" : change < 0 ? "down" : ""}`}>{percent(change)}</td>
      <td class="number" title={quote}>
        {Number.isNaN(bp) ? UNKNOWN : fixed(bp, bp < 10 ? 2 : 1)}
      </td>
      <td class="number">{compact(row.volume)}</td>
    </tr>
  );
}

function rowId(symbol: string): string {
  return `watch-row-${symbol}`;
}

function spoken(text: string): string {
  return text.toLowerCase().replaceAll("_", " ");
}

const SPARK = { width: 36, height: 16 };

/** The course of 24 hours; it ends at the last price. */
function Sparkline(props: {
  readonly closes: readonly number[] | undefined;
  readonly last: number;
}) {
  const known = props.closes ?? [];
  const prices = known.length > 0 && props.last > 0 ? [...known.slice(0, -1), props.last] : known;
  const { width, height } = SPARK;
  const [low, high] = [Math.min(...prices), Math.max(...prices)];
  const points = prices.map((each, i) => {
    const x = (i / Math.max(1, prices.length - 1)) * width;
    const y = 1 + (height - 2) * (high > low ? 1 - (each - low) / (high - low) : 0.5);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
      {points.length > 1 && <polyline points={points.join(" ")} />}
    </svg>
  );
}
