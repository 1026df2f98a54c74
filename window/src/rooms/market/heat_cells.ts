/** The cells of the heat map as an image: one for each second and price. */
import { type HeatColumn, MOST_COLUMNS, rowsOf } from "../../market/heat.ts";
import type { LiveBook } from "./live_book.ts";

/** Rows of the image, the highest price first. */
export const ROWS = 120;
const SHADES = 256;

/** The image, drawn a column at a time, and whole if the range has moved. */
export class Cells {
  readonly canvas = new OffscreenCanvas(MOST_COLUMNS, ROWS);
  readonly #context = this.canvas.getContext("2d", { willReadFrequently: true });
  #shades = new Uint8ClampedArray(SHADES * 3);
  #shown = "";
  #added = 0;
  #full = 1;

  /** Bring the cells up to date. */
  draw(live: LiveBook, low: number, rowHeight: number, colours: readonly string[]): void {
    const { heat } = live;
    const context = this.#context;
    if (context === null) return;
    const fresh = heat.added - this.#added;
    const shown = `${low} ${rowHeight} ${colours.join()}`;
    let isWhole = shown !== this.#shown || fresh > heat.columns.length;
    const newest = heat.columns.slice(isWhole ? 0 : -Math.max(1, fresh));
    const largest = this.#largest(newest, heat.bucket, low, rowHeight);
    if (largest > this.#full * 1.5 || (isWhole && largest < this.#full / 3)) {
      this.#full = Math.max(largest, 1e-9);
      isWhole = true;
    }
    if (isWhole) {
      this.#shades = shadesOf(colours);
      context.clearRect(0, 0, MOST_COLUMNS, ROWS);
      this.#paint(context, heat.columns, heat.bucket, low, rowHeight);
    } else if (fresh > 0) {
      context.globalCompositeOperation = "copy";
      context.drawImage(this.canvas, -fresh, 0);
      context.globalCompositeOperation = "source-over";
      this.#paint(context, heat.columns.slice(-fresh), heat.bucket, low, rowHeight);
    }
    this.#shown = shown;
    this.#added = heat.added;
  }

  /** The quantity that has the strongest shade. */
  get full(): number {
    return this.#full;
  }

  #largest(columns: readonly HeatColumn[], bucket: number, low: number, rowHeight: number): number {
    let largest = 0;
    for (const column of columns) {
      for (const size of rowsOf(column, bucket, low, rowHeight, ROWS)) {
        if (size > largest) largest = size;
      }
    }
    return largest;
  }

  /** Paint the last columns. */
  #paint(
    context: OffscreenCanvasRenderingContext2D,
    columns: readonly HeatColumn[],
    bucket: number,
    low: number,
    rowHeight: number,
  ): void {
    if (columns.length === 0) return;
    const image = context.createImageData(columns.length, ROWS);
    const scale = (SHADES - 1) / Math.log1p(20);
    for (const [x, column] of columns.entries()) {
      if (column.sizes.length === 0) continue;
      for (const [row, size] of rowsOf(column, bucket, low, rowHeight, ROWS).entries()) {
        const share = Math.min(1, size / this.#full);
        const shade = Math.round(Math.log1p(20 * share) * scale) * 3;
        const at = ((ROWS - 1 - row) * columns.length + x) * 4;
        image.data.set(this.#shades.subarray(shade, shade + 3), at);
        image.data[at + 3] = 255;
      }
    }
    context.putImageData(image, MOST_COLUMNS - columns.length, 0);
  }
}

/** Return the colours between the stops, three bytes each. */
function shadesOf(colours: readonly string[]): Uint8ClampedArray<ArrayBuffer> {
  const shades = new Uint8ClampedArray(SHADES * 3);
  const stops = colours.map((each) =>
    [1, 3, 5].map((at) => Number.parseInt(each.slice(at, at + 2), 16)),
  );
  for (let shade = 0; shade < SHADES; shade += 1) {
    const place = (shade / (SHADES - 1)) * (stops.length - 1);
    const index = Math.min(stops.length - 2, Math.floor(place));
    for (let part = 0; part < 3; part += 1) {
      const [from = 0, to = 0] = [stops[index]?.[part], stops[index + 1]?.[part]];
      shades[shade * 3 + part] = from + (to - from) * (place - index);
    }
  }
  return shades;
}
