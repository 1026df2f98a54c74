/** The order of the rows of a table. */

export interface Sorting {
  readonly column: string;
  readonly descending: boolean;
}

/** Return the order that an address names: `-messages` for the largest first. */
export function sortingOf(order: string): Sorting {
  const descending = order.startsWith("-");
  return { column: descending ? order.slice(1) : order, descending };
}

/** Return an order as an address names it. */
export function orderText({ column, descending }: Sorting): string {
  return `${descending ? "-" : ""}${column}`;
}

/**
 * Return `rows` in the order of their keys; rows that are equal stay in their order, and so do all
 * without a key.
 */
export function sorted<R>(
  rows: readonly R[],
  keyOf: ((row: R) => number | string) | undefined,
  descending = false,
): readonly R[] {
  if (keyOf === undefined) return rows;
  const sign = descending ? -1 : 1;
  return rows
    .map((row) => ({ row, value: keyOf(row) }))
    .sort((a, b) => sign * compare(a.value, b.value))
    .map(({ row }) => row);
}

/** What is not known comes last when the largest come first. */
function compare(a: number | string, b: number | string): number {
  if (typeof a === "string" || typeof b === "string") {
    return String(a) < String(b) ? -1 : Number(String(a) > String(b));
  }
  return (Number.isNaN(a) ? -Infinity : a) - (Number.isNaN(b) ? -Infinity : b) || 0;
}
