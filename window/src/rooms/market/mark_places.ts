/** Where marks are in the chart: positions are bars from the first one, its middle being 0. */
import type { Mark } from "../../market/marks.ts";

export interface Place {
  readonly mark: Mark;
  readonly from: number;
  readonly to: number;
}

/** Signs of the kinds of marks, so that they differ without colour. */
export const MARK_SIGNS: Readonly<Record<Mark["kind"], string>> = {
  fault: "✕",
  scenario: "▶",
  lever: "⇅",
  clock: "◷",
};

/** Return where a time is among bars that open at `times` and are `lengthMs` long. */
export function positionOf(timeMs: number, times: readonly number[], lengthMs: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) <= timeMs) low = middle + 1;
    else high = middle;
  }
  const index = low - 1;
  const openMs = times[index] ?? times[0] ?? 0;
  const nextMs = times[index + 1] ?? openMs + lengthMs;
  if (index < 0) return Number.NEGATIVE_INFINITY;
  return index - 0.5 + Math.min(1, (timeMs - openMs) / Math.max(1, nextMs - openMs));
}

/** Return the places of the marks that lie within the bars, at least in part. */
export function placesOf(
  marks: readonly Mark[],
  times: readonly number[],
  lengthMs: number,
): Place[] {
  const [firstMs, lastMs] = [times[0], times.at(-1)];
  if (firstMs === undefined || lastMs === undefined) return [];
  const places: Place[] = [];
  for (const mark of marks) {
    const endMs = mark.endMs ?? lastMs + lengthMs;
    if (mark.startMs >= lastMs + lengthMs || endMs < firstMs) continue;
    const from = Math.max(-0.5, positionOf(mark.startMs, times, lengthMs));
    places.push({ mark, from, to: Math.max(from, positionOf(endMs, times, lengthMs)) });
  }
  return places;
}

/**
 * Return the row of each label so that those in a row do not overlap, from the top; a label for
 * which there is no room has row -1.
 */
export function labelRows(
  labels: readonly { readonly left: number; readonly width: number }[],
  mostRows: number,
): number[] {
  const ends: number[] = [];
  return labels.map(({ left, width }) => {
    for (let row = 0; row < mostRows; row++) {
      if ((ends[row] ?? Number.NEGATIVE_INFINITY) <= left) {
        ends[row] = left + width;
        return row;
      }
    }
    return -1;
  });
}
