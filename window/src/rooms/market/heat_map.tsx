/** The order book over time, as far as the page has seen it. */
import "./book.css";
import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { useStore } from "../../frame.ts";
import { contracts } from "../../market/contracts.ts";
import { bestPrices, holesOf, MOST_COLUMNS, middleOf, widening } from "../../market/heat.ts";
import { type Area, Canvas, type Drawing } from "../../parts/canvas.tsx";
import { clockTime, compact, price, span } from "../../parts/format.ts";
import { Panel } from "../../parts/panel.tsx";
import { Cells, ROWS } from "./heat_cells.ts";
import { BookNote } from "./ladder.tsx";
import { type LiveBook, useLiveBook } from "./live_book.ts";

const AXIS_WIDTH = 78;
const AXIS_HEIGHT = 16;
const STOPS = ["--heat-0", "--heat-1", "--heat-2", "--heat-3"];
const MOST_ZOOM = 32;
/** From this width on, the label of a hole is horizontal. */
const HOLE_LABEL_WIDTH = 110;
const UNSEEN_LABEL_WIDTH = 130;
const LEGEND_WIDTH = 26;
const LABEL = "11px system-ui, sans-serif";

class HeatDrawing implements Drawing {
  readonly #live: LiveBook;
  readonly #cells = new Cells();
  readonly zoom = signal(1);
  #centre = 0;
  #redraw: (() => void) | undefined;

  constructor(live: LiveBook) {
    this.#live = live;
  }

  readonly follow = (redraw: () => void): (() => void) => {
    this.#redraw = redraw;
    let drawn = -1;
    return this.#live.version.subscribe(() => {
      if (this.#live.heat.added === drawn) return;
      drawn = this.#live.heat.added;
      redraw();
    });
  };

  /** Show a larger or smaller range of prices. */
  zoomBy(factor: number): void {
    this.zoom.value = Math.max(0.25, Math.min(MOST_ZOOM, this.zoom.value * factor));
    this.#redraw?.();
  }

  readonly draw = (area: Area): void => {
    const { context, width, height, colour } = area;
    const { heat } = this.#live;
    context.clearRect(0, 0, width, height);
    const newest = heat.columns.findLast((each) => each.sizes.length > 0);
    const shown = Math.min(MOST_COLUMNS, Math.max(120, heat.columns.length));
    const best = bestPrices(heat.columns.slice(-shown));
    if (newest === undefined || best === undefined) return;
    const zoom = this.zoom.value / widening(...best, ROWS * heat.bucket);
    const rowHeight = Math.max(1, Math.round(1 / zoom)) * heat.bucket;
    const shownRows = zoom > 1 ? ROWS / zoom : ROWS;
    const range = shownRows * rowHeight;
    // Whoever looks closer sees the price of now, and everybody else where it has been.
    const { bid, ask } = newest;
    const centre =
      this.zoom.value > 1
        ? middleOf(bid, ask, range / 2, this.#centre)
        : middleOf(...best, range, this.#centre);
    if (centre !== this.#centre) this.#centre = Math.round(centre / rowHeight) * rowHeight;
    const low = this.#centre - (ROWS / 2) * rowHeight;
    this.#cells.draw(this.#live, low, rowHeight, STOPS.map(colour));
    const [right, bottom] = [width - AXIS_WIDTH, height - AXIS_HEIGHT];
    context.imageSmoothingEnabled = false;
    const top = (ROWS - shownRows) / 2;
    context.drawImage(
      this.#cells.canvas,
      MOST_COLUMNS - shown,
      top,
      shown,
      shownRows,
      0,
      0,
      right,
      bottom,
    );
    const view = { right, bottom, shown, from: this.#centre - range / 2, range };
    this.#unseen(area, view);
    this.#holes(area, view);
    this.#lines(area, view);
    this.#axes(area, view);
  };

  /** Say why there is nothing on the left: the server keeps no past books. */
  #unseen(area: Area, view: View): void {
    const { context, colour } = area;
    const width = view.right * (1 - this.#live.heat.columns.length / view.shown);
    if (width < UNSEEN_LABEL_WIDTH) return;
    context.font = LABEL;
    context.textAlign = "center";
    context.fillStyle = colour("--quiet");
    context.fillText("before you opened it", width / 2, view.bottom / 2);
  }

  /** Shade the times without a book, and name those that are wide enough. */
  #holes(area: Area, view: View): void {
    const { context, colour } = area;
    const columns = this.#live.heat.columns.slice(-view.shown);
    const wide = view.right / view.shown;
    context.font = LABEL;
    context.textAlign = "center";
    for (const { from, to } of holesOf(columns)) {
      const [x, width] = [view.right - (columns.length - from) * wide, (to - from) * wide];
      context.fillStyle = colour("--line");
      context.fillRect(x, 0, width, view.bottom);
      if (width < 14) continue;
      context.save();
      context.translate(x + width / 2, view.bottom / 2);
      if (width < HOLE_LABEL_WIDTH) context.rotate(-Math.PI / 2);
      context.fillStyle = colour("--text");
      context.fillText(`no book for ${span((to - from) * 1_000)}`, 0, 4);
      context.restore();
    }
  }

  #lines(area: Area, view: View): void {
    const { context, colour } = area;
    const columns = this.#live.heat.columns.slice(-view.shown);
    const wide = view.right / view.shown;
    const xOf = (index: number): number => view.right - (columns.length - index - 0.5) * wide;
    const yOf = (at: number): number => view.bottom * (1 - (at - view.from) / view.range);
    for (const [side, token] of [
      ["bid", "--up"],
      ["ask", "--down"],
    ] as const) {
      context.beginPath();
      let isDown = false;
      for (const [index, column] of columns.entries()) {
        if (column[side] === 0) isDown = false;
        else if (isDown) context.lineTo(xOf(index), yOf(column[side]));
        else context.moveTo(xOf(index), yOf(column[side]));
        isDown = column[side] !== 0;
      }
      context.strokeStyle = colour(token);
      context.lineWidth = 1.2;
      context.stroke();
    }
    let largest = 0;
    for (const column of columns) {
      for (const trade of column.trades) largest = Math.max(largest, Math.abs(trade.size));
    }
    context.save();
    context.beginPath();
    context.rect(0, 0, view.right, view.bottom);
    context.clip();
    for (const [index, column] of columns.entries()) {
      for (const trade of column.trades) {
        const radius = 1 + 5 * Math.sqrt(Math.abs(trade.size) / largest);
        context.beginPath();
        context.arc(xOf(index), yOf(trade.price), radius, 0, 2 * Math.PI);
        context.strokeStyle = colour("--text");
        context.fillStyle = colour(trade.size > 0 ? "--up" : "--down");
        context.lineWidth = 0.6;
        context.globalAlpha = 0.75;
        context.fill();
        context.stroke();
      }
    }
    context.restore();
  }

  #axes(area: Area, view: View): void {
    const { context, width, height, colour } = area;
    const contract = contracts.peek().get(this.#live.feed.symbol);
    const { columns } = this.#live.heat;
    context.font = LABEL;
    context.fillStyle = colour("--quiet");
    context.textAlign = "left";
    for (const share of [0.05, 0.275, 0.5, 0.725, 0.95]) {
      const at = view.from + view.range * (1 - share);
      context.fillText(price(at, contract), view.right + 4, share * view.bottom + 4);
    }
    const newest = columns.at(-1);
    if (newest === undefined) return;
    context.fillText(clockTime(newest.timeMs - view.shown * 1_000), 2, height - 3);
    context.textAlign = "right";
    context.fillText(clockTime(newest.timeMs), view.right, height - 3);
    context.fillText(compact(this.#cells.full), width - 2, height - 3);
    const left = view.right + 6;
    const legend = context.createLinearGradient(left, 0, left + LEGEND_WIDTH, 0);
    for (const [index, token] of STOPS.entries()) {
      legend.addColorStop(index / (STOPS.length - 1), colour(token));
    }
    context.fillStyle = legend;
    context.fillRect(left, height - 12, LEGEND_WIDTH, 9);
    context.strokeStyle = colour("--quiet");
    context.lineWidth = 1;
    context.strokeRect(left, height - 12, LEGEND_WIDTH, 9);
  }
}

interface View {
  readonly right: number;
  readonly bottom: number;
  /** Columns that are shown. */
  readonly shown: number;
  /** The lowest price that is shown. */
  readonly from: number;
  readonly range: number;
}

/** Quantity by price and second, the best prices as lines, the largest trades as dots. */
export function HeatMap(props: { readonly symbol: string }) {
  const live = useLiveBook(props.symbol);
  const drawing = useMemo(() => new HeatDrawing(live), [live]);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault();
      drawing.zoomBy(event.deltaY < 0 ? 2 : 0.5);
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, [drawing]);
  return (
    <Panel
      title="Book over time"
      class="fill"
      tools={
        <span class="book-tool quiet">
          <Seen live={live} />
          <button type="button" aria-label="Fewer prices" onClick={() => drawing.zoomBy(2)}>
            +
          </button>
          <button type="button" aria-label="More prices" onClick={() => drawing.zoomBy(0.5)}>
            −
          </button>
        </span>
      }
    >
      <BookNote live={live} />
      <div class="book-picture" ref={box}>
        <Canvas
          label={`Order book of ${props.symbol} over time`}
          drawing={drawing}
          class="book-canvas"
        />
      </div>
    </Panel>
  );
}

/** What the picture begins with, and what is wrong with the book. */
function Seen(props: { readonly live: LiveBook }) {
  useStore(props.live);
  const { heat } = props.live;
  return (
    <>
      {heat.columns.length === 0
        ? "begins now"
        : `${span(heat.columns.length * 1_000)} since you opened it, at most ${span(MOST_COLUMNS * 1_000)}`}
    </>
  );
}
