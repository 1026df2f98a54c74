/** What the server sends over the last minutes, from one reading of its metrics to the next. */
import { Store } from "../../frame.ts";
import { type Samples, total } from "../../wire/metrics.ts";
import { added, type Histogram, readHistogram } from "./histogram.ts";
import { Rates } from "./rates.ts";

/** How long is remembered and shown. */
export const SHOWN_MS = 300_000;
/** The latencies of so many seconds are shown together. */
export const LATENCY_MS = 10_000;

const MESSAGES = "tickerplant_messages_sent_total";
const BYTES = "tickerplant_sent_bytes_total";
const LAG = "tickerplant_source_lag_seconds";
const WAITS = {
  publish: "tickerplant_event_to_publish_seconds",
  write: "tickerplant_publish_to_write_seconds",
} as const;

/** What of a message is measured: how late it was published, and how much later written. */
export type Wait = keyof typeof WAITS;

export interface Point {
  readonly atMs: number;
  readonly messagesPerS: number;
  readonly bytesPerS: number;
  readonly lagMs: number;
}

interface Reading {
  readonly atMs: number;
  readonly waits: ReadonlyMap<Wait, Histogram>;
}

/** The rates and latencies of a server. */
export class Traffic extends Store {
  /** The oldest first, at most `SHOWN_MS` old. */
  points: readonly Point[] = [];
  /** The latencies of the last `LATENCY_MS`, or since the first reading. */
  latencies: ReadonlyMap<Wait, Histogram> = new Map();
  /** The last reading of all metrics. */
  samples: Samples = new Map();
  readonly #rates = new Rates();
  #readings: readonly Reading[] = [];

  /** Take a reading of the metrics. */
  take(samples: Samples, atMs: number): void {
    if (atMs <= (this.#readings.at(-1)?.atMs ?? 0)) return;
    this.samples = samples;
    const rates = this.#rates.take(
      [MESSAGES, BYTES].map((name) => ({ name, value: total(samples, name), atMs })),
    );
    const messagesPerS = rates.get(MESSAGES);
    if (messagesPerS !== undefined) {
      const point = {
        atMs,
        messagesPerS,
        bytesPerS: rates.get(BYTES) ?? 0,
        lagMs: 1_000 * total(samples, LAG),
      };
      this.points = [...this.points.filter((each) => each.atMs > atMs - SHOWN_MS), point];
    }
    this.#measure(samples, atMs);
    this.touch();
  }

  #measure(samples: Samples, atMs: number): void {
    const waits = new Map<Wait, Histogram>();
    for (const wait of Object.keys(WAITS) as Wait[]) {
      const histogram = readHistogram(samples, WAITS[wait]);
      if (histogram !== undefined) waits.set(wait, histogram);
    }
    // One reading that is a little older than the span stays: the difference to it covers the span.
    const recent = this.#readings.filter((each) => each.atMs > atMs - 2 * LATENCY_MS);
    const first = recent.findLastIndex((each) => each.atMs <= atMs - LATENCY_MS);
    const kept = recent.slice(Math.max(0, first));
    this.#readings = [...kept, { atMs, waits }];
    const [oldest] = kept;
    const latencies = new Map<Wait, Histogram>();
    if (oldest !== undefined) {
      for (const [wait, now] of waits) latencies.set(wait, added(now, oldest.waits.get(wait)));
    }
    this.latencies = latencies;
  }
}
