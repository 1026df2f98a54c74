/** Draws marks as bands and lines with labels, behind the candles. */
import type {
  IPrimitivePaneRenderer,
  IPrimitivePaneView,
  ISeriesPrimitive,
  Logical,
  SeriesAttachedParameter,
  Time,
} from "lightweight-charts";
import type { Mark } from "../../market/marks.ts";
import { labelRows, MARK_SIGNS, type Place, placesOf } from "./mark_places.ts";

const DASHES: Readonly<Record<Mark["kind"], number[]>> = {
  fault: [],
  scenario: [8, 3],
  lever: [2, 3],
  clock: [1, 4],
};
const LONGEST_LABEL = 32;
const MOST_ROWS = 4;
const ROW_HEIGHT = 15;
const LABEL_TOP = 4;

export interface MarkColours {
  readonly kinds: Readonly<Record<Mark["kind"], string>>;
  readonly background: string;
  readonly font: string;
}

export class MarkBands implements ISeriesPrimitive<Time> {
  #attached: SeriesAttachedParameter<Time> | undefined;
  #places: readonly Place[] = [];
  #colours: MarkColours | undefined;
  readonly #views: readonly IPrimitivePaneView[];

  constructor() {
    const renderer: IPrimitivePaneRenderer = { draw: (target) => this.#draw(target) };
    this.#views = [{ zOrder: () => "bottom", renderer: () => renderer }];
  }

  attached(parameters: SeriesAttachedParameter<Time>): void {
    this.#attached = parameters;
  }

  detached(): void {
    this.#attached = undefined;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.#views;
  }

  /** Show marks among bars that open at `times`. */
  show(marks: readonly Mark[], times: readonly number[], lengthMs: number): void {
    this.#places = placesOf(marks, times, lengthMs);
    this.#attached?.requestUpdate();
  }

  recolour(colours: MarkColours): void {
    this.#colours = colours;
    this.#attached?.requestUpdate();
  }

  #draw(target: Parameters<IPrimitivePaneRenderer["draw"]>[0]): void {
    const scale = this.#attached?.chart.timeScale();
    const colours = this.#colours;
    const [zero, one] = [0, 1].map((n) => scale?.logicalToCoordinate(n as Logical));
    if (colours === undefined || typeof zero !== "number" || typeof one !== "number") return;
    const spacing = one - zero;
    target.useMediaCoordinateSpace(({ context, mediaSize: { width, height } }) => {
      context.font = colours.font;
      context.textBaseline = "top";
      const seen = this.#places
        .map(({ mark, from, to }) => ({
          mark,
          left: zero + from * spacing,
          right: zero + to * spacing,
        }))
        .filter(({ left, right }) => right >= 0 && left <= width);
      for (const { mark, left, right } of seen) {
        context.fillStyle = context.strokeStyle = colours.kinds[mark.kind];
        context.globalAlpha = 0.1;
        context.fillRect(left, 0, Math.max(1, right - left), height);
        context.globalAlpha = 0.8;
        context.setLineDash(DASHES[mark.kind]);
        for (const x of right - left > 3 ? [left, right] : [left]) {
          context.beginPath();
          context.moveTo(Math.round(x) + 0.5, 0);
          context.lineTo(Math.round(x) + 0.5, height);
          context.stroke();
        }
      }
      context.setLineDash([]);
      context.globalAlpha = 1;
      const labels = seen.map(({ mark, left }) => {
        const text = `${MARK_SIGNS[mark.kind]} ${shortened(mark.text)}`;
        const wide = context.measureText(text).width + 8;
        return { mark, text, left: Math.max(0, Math.min(left, width - wide)), width: wide };
      });
      const rows = labelRows(labels, MOST_ROWS);
      labels.forEach(({ mark, text, left, width: wide }, i) => {
        const row = rows[i] ?? -1;
        if (row < 0) return;
        const top = LABEL_TOP + row * ROW_HEIGHT;
        context.fillStyle = colours.background;
        context.fillRect(left + 1, top - 1, wide - 2, ROW_HEIGHT - 1);
        context.fillStyle = colours.kinds[mark.kind];
        context.fillText(text, left + 4, top);
      });
    });
  }
}

function shortened(text: string): string {
  return text.length > LONGEST_LABEL ? `${text.slice(0, LONGEST_LABEL - 1)}…` : text;
}
