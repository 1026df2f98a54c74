/** What is to be had on each side up to a price. */
import "./book.css";
import { useMemo } from "preact/hooks";
import { contracts } from "../../market/contracts.ts";
import { keyPrice, type Level } from "../../market/order_book.ts";
import { type Area, Canvas, type Drawing } from "../../parts/canvas.tsx";
import { compact, percent, price } from "../../parts/format.ts";
import { Panel } from "../../parts/panel.tsx";
import { BookNote } from "./ladder.tsx";
import { type LiveBook, useLiveBook } from "./live_book.ts";

const AXIS_HEIGHT = 18;
/** How far from the middle is shown at most, as a share of it. */
const MOST_REACH = 0.01;
const LABEL = "11px system-ui, sans-serif";

interface Step {
  readonly price: number;
  readonly total: number;
}

/** Return the quantity up to each price of a side, the best first. */
function stepsOf(levels: readonly Level[]): Step[] {
  let total = 0;
  return levels.map((level) => {
    total += level.size;
    return { price: keyPrice(level.key), total };
  });
}

/** Return the quantity that is to be had up to a price. */
function totalAt(steps: readonly Step[], reaches: (price: number) => boolean): number {
  return steps.findLast((step) => reaches(step.price))?.total ?? 0;
}

class DepthDrawing implements Drawing {
  readonly #live: LiveBook;
  #pointer: number | undefined;
  #redraw: (() => void) | undefined;

  constructor(live: LiveBook) {
    this.#live = live;
  }

  readonly follow = (redraw: () => void): (() => void) => {
    this.#redraw = redraw;
    return this.#live.version.subscribe(redraw);
  };

  /** Show the values at a place; undefined ends that. */
  point(x: number | undefined): void {
    this.#pointer = x;
    this.#redraw?.();
  }

  readonly draw = (area: Area): void => {
    const { context, width, height, colour } = area;
    context.clearRect(0, 0, width, height);
    const { book } = this.#live.feed;
    const mid = book.mid;
    if (mid === undefined) return;
    const [bids, asks] = [stepsOf(book.bids.levels), stepsOf(book.asks.levels)];
    const known = Math.min(mid - (bids.at(-1)?.price ?? mid), (asks.at(-1)?.price ?? mid) - mid);
    const reach = Math.min(known, mid * MOST_REACH);
    if (reach <= 0) return;
    const bottom = height - AXIS_HEIGHT;
    const most = Math.max(
      totalAt(bids, (each) => each >= mid - reach),
      totalAt(asks, (each) => each <= mid + reach),
    );
    const xOf = (at: number): number => width / 2 + ((at - mid) / reach) * (width / 2);
    const yOf = (total: number): number => bottom - (total / most) * (bottom - 16);
    for (const [steps, edge, line, fill] of [
      [bids, 0, "--up", "--up-area"],
      [asks, width, "--down", "--down-area"],
    ] as const) {
      context.beginPath();
      const first = steps[0];
      if (first === undefined) continue;
      context.moveTo(xOf(first.price), bottom);
      let y = bottom;
      for (const step of steps) {
        const x = xOf(step.price);
        if (x < 0 || x > width) break;
        context.lineTo(x, y);
        y = yOf(step.total);
        context.lineTo(x, y);
      }
      context.lineTo(edge, y);
      context.strokeStyle = colour(line);
      context.stroke();
      context.lineTo(edge, bottom);
      context.fillStyle = colour(fill);
      context.fill();
    }
    this.#label(area, mid, reach, bids, asks);
  };

  #label(
    area: Area,
    mid: number,
    reach: number,
    bids: readonly Step[],
    asks: readonly Step[],
  ): void {
    const { context, width, height, colour } = area;
    const contract = contracts.peek().get(this.#live.feed.symbol);
    const write = (text: string, x: number, y: number, align: CanvasTextAlign): void => {
      context.textAlign = align;
      context.fillText(text, x, y);
    };
    context.font = LABEL;
    context.fillStyle = colour("--quiet");
    write(price(mid - reach, contract), 4, height - 5, "left");
    write(price(mid, contract), width / 2, height - 5, "center");
    write(price(mid + reach, contract), width - 4, height - 5, "right");
    write(`Bids  ${compact(totalAt(bids, (each) => each >= mid - reach))}`, 4, 12, "left");
    write(`${compact(totalAt(asks, (each) => each <= mid + reach))}  Asks`, width - 4, 12, "right");
    if (this.#pointer === undefined) return;
    const at = mid + ((this.#pointer - width / 2) / (width / 2)) * reach;
    const isBid = at < mid;
    const total = isBid ? totalAt(bids, (each) => each >= at) : totalAt(asks, (each) => each <= at);
    context.strokeStyle = colour("--quiet");
    context.beginPath();
    context.moveTo(this.#pointer, 0);
    context.lineTo(this.#pointer, height - AXIS_HEIGHT);
    context.stroke();
    context.fillStyle = colour("--text");
    const unit = contract?.contractSize ? "contracts" : (contract?.baseAsset ?? "");
    const said = `${price(at, contract)}  ${percent((100 * (at - mid)) / mid, 3)}  ${compact(total)} ${unit}`;
    const isRight = this.#pointer > width / 2;
    write(said, this.#pointer + (isRight ? -6 : 6), 28, isRight ? "right" : "left");
  }
}

/** The cumulative depth within a percent of the middle, as far as both sides are known. */
export function DepthChart(props: { readonly symbol: string }) {
  const live = useLiveBook(props.symbol);
  const drawing = useMemo(() => new DepthDrawing(live), [live]);
  return (
    <Panel title="Depth" class="fill">
      <BookNote live={live} />
      <div
        class="book-picture"
        onPointerMove={(event) =>
          drawing.point(event.clientX - event.currentTarget.getBoundingClientRect().left)
        }
        onPointerLeave={() => drawing.point(undefined)}
      >
        <Canvas
          label={`Cumulative depth of ${props.symbol}`}
          drawing={drawing}
          class="book-canvas"
        />
      </div>
    </Panel>
  );
}
