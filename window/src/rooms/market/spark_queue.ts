/** The courses of 24 hours beside the symbols: requested one after the other, and only where seen. */

/** What the queue needs of its surroundings. */
export interface SparkSource {
  /** Requests the closing prices of the last 24 hours, the oldest first. */
  readonly request: (symbol: string) => Promise<readonly number[]>;
  /** Wall clock, ms. */
  readonly now: () => number;
  /** Market time, ms. */
  readonly marketNow: () => number;
  readonly after: (delayMs: number, action: () => void) => void;
  /** Whether anybody can see the page. */
  readonly isShown: () => boolean;
}

interface Spark {
  readonly closes: readonly number[];
  readonly atMs: number;
  readonly marketHour: number;
}

/** At most 4 requests a second, one at a time. */
export const SPACING_MS = 250;
/** A symbol is asked for again after an hour of the market, but not sooner than this. */
export const AGAIN_MS = 60_000;
const HOUR_MS = 3_600_000;
const MOST_SPARKS = 1_000;

export class SparkQueue {
  readonly #source: SparkSource;
  readonly #changed: () => void;
  readonly #sparks = new Map<string, Spark>();
  #wanted: readonly string[] = [];
  #isBusy = false;

  /** @param changed Called when another course is known. */
  constructor(source: SparkSource, changed: () => void) {
    this.#source = source;
    this.#changed = changed;
  }

  /** Closing prices of 24 hours; undefined until they are known, empty if there are none. */
  closes(symbol: string): readonly number[] | undefined {
    return this.#sparks.get(symbol)?.closes;
  }

  /** Ask for these symbols, the first first, and no longer for others. */
  want(symbols: readonly string[]): void {
    this.#wanted = symbols;
    void this.#next();
  }

  /** Ask again for everything: it may be of another time of the market. */
  reset(): void {
    for (const [symbol, spark] of this.#sparks) {
      this.#sparks.set(symbol, { ...spark, marketHour: Number.NaN });
    }
  }

  async #next(): Promise<void> {
    if (this.#isBusy || !this.#source.isShown()) return;
    const symbol = this.#wanted.find((each) => this.#isDue(each));
    if (symbol === undefined) return;
    this.#isBusy = true;
    const begunMs = this.#source.now();
    let closes = this.#sparks.get(symbol)?.closes ?? [];
    try {
      closes = await this.#source.request(symbol);
    } catch {
      // It is shown without, and asked for again later.
    }
    const marketHour = Math.floor(this.#source.marketNow() / HOUR_MS);
    this.#sparks.delete(symbol);
    this.#sparks.set(symbol, { closes, atMs: this.#source.now(), marketHour });
    const [oldest] = this.#sparks.keys();
    if (this.#sparks.size > MOST_SPARKS && oldest !== undefined) this.#sparks.delete(oldest);
    this.#changed();
    const leftMs = SPACING_MS - (this.#source.now() - begunMs);
    this.#source.after(Math.max(0, leftMs), () => {
      this.#isBusy = false;
      void this.#next();
    });
  }

  #isDue(symbol: string): boolean {
    const spark = this.#sparks.get(symbol);
    if (spark === undefined) return true;
    if (this.#source.now() - spark.atMs < AGAIN_MS) return false;
    return (
      spark.closes.length === 0 ||
      spark.marketHour !== Math.floor(this.#source.marketNow() / HOUR_MS)
    );
  }
}
