/** What counters gain per second. */

/** A counter as it was read. */
export interface Reading {
  readonly name: string;
  readonly value: number;
  /** When it had this value. */
  readonly atMs: number;
}

interface Known extends Reading {
  /** Undefined until it was read twice. */
  readonly rate: number | undefined;
}

/** Rates of counters, from one reading to the next. */
export class Rates {
  #known = new Map<string, Known>();

  /**
   * Read all counters; return what each has gained per second since it was read before.
   *
   * A counter that is smaller than before has begun again at 0: its server was restarted.  A counter
   * that is new has no rate yet, one that was not read again keeps its rate, and one that is missing
   * is forgotten.
   */
  take(readings: Iterable<Reading>): Map<string, number> {
    const known = new Map<string, Known>();
    const rates = new Map<string, number>();
    for (const reading of readings) {
      const now = next(this.#known.get(reading.name), reading);
      known.set(reading.name, now);
      if (now.rate !== undefined) rates.set(reading.name, now.rate);
    }
    this.#known = known;
    return rates;
  }
}

function next(before: Known | undefined, { name, value, atMs }: Reading): Known {
  if (before === undefined) return { name, value, atMs, rate: undefined };
  if (atMs <= before.atMs && value >= before.value) return before;
  const gained = value < before.value ? value : value - before.value;
  const seconds = (atMs - before.atMs) / 1_000;
  return { name, value, atMs, rate: seconds > 0 ? gained / seconds : undefined };
}
