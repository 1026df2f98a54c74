/** The rows of a ladder: the levels next to the middle, or groups of them. */
import { type Level, priceKey } from "./order_book.ts";

export interface LadderRow {
  readonly key: number;
  /** As it was on the wire, or the price of the group. */
  readonly price: string;
  readonly quantity: string;
  readonly size: number;
  /** The quantity up to here. */
  readonly total: number;
}

/** What a side of the ladder is made of. */
export interface Grouping {
  /** The price step of a row, a multiple of the tick size; 0 for levels as they are. */
  readonly step: number;
  readonly priceDecimals: number;
  readonly quantityDecimals: number;
}

/** Return the integer of the row in which a price is, if rows are `step` apart; 0 for as it is. */
export function rowKey(key: number, isBids: boolean, step: number): number {
  if (step === 0) return key;
  return (isBids ? Math.floor(key / step) : Math.ceil(key / step)) * step;
}

/**
 * Return the best rows of a side.
 *
 * Groups of bids are named by their lowest price, groups of asks by their highest: all of a group is
 * to be had at its price or better.
 */
export function ladderRows(
  levels: readonly Level[],
  isBids: boolean,
  count: number,
  grouping: Grouping,
): readonly LadderRow[] {
  const rows: LadderRow[] = [];
  const step = priceKey(grouping.step);
  let total = 0;
  if (step === 0) {
    for (const level of levels.slice(0, count)) {
      total += level.size;
      rows.push({ ...level, total });
    }
    return rows;
  }
  let [key, size] = [Number.NaN, 0];
  const close = (): void => {
    if (size === 0) return;
    rows.push({
      key,
      price: (key / 1e8).toFixed(grouping.priceDecimals),
      quantity: size.toFixed(grouping.quantityDecimals),
      size,
      total,
    });
  };
  for (const level of levels) {
    const group = rowKey(level.key, isBids, step);
    if (group !== key) {
      close();
      if (rows.length === count) return rows;
      [key, size] = [group, 0];
    }
    size += level.size;
    total += level.size;
  }
  close();
  return rows.slice(0, count);
}

/** Return the steps by which the levels of a contract can be grouped, the smallest first. */
export function groupSteps(tickSize: number, price: number): readonly number[] {
  const steps = [1, 10, 50, 100, 500, 1_000].map((times) =>
    Number((times * tickSize).toPrecision(8)),
  );
  return steps.filter((step, index) => index === 0 || step <= price / 50);
}
