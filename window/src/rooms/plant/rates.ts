/** What counters gain per second. */

interface Reading {
  readonly value: number;
  readonly atMs: number;
}

/** Rates of counters, from one reading to the next. */
export class Rates {
  #before = new Map<string, Reading>();

  /**
   * Read all counters; return what each has gained per second since it was read before.
   *
   * A counter that is smaller than before has begun again at 0: its server was restarted.  A counter
   * that is new has no rate yet, and one that is missing is forgotten.
   */
  take(counters: Iterable<readonly [string, number]>, atMs: number): Map<string, number> {
    const now = new Map<string, Reading>();
    const rates = new Map<string, number>();
    for (const [name, value] of counters) {
      const before = this.#before.get(name);
      now.set(name, { value, atMs });
      if (before === undefined || atMs <= before.atMs) continue;
      const gained = value < before.value ? value : value - before.value;
      rates.set(name, gained / ((atMs - before.atMs) / 1_000));
    }
    this.#before = now;
    return rates;
  }
}
