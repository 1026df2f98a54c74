/** Histograms of durations, as `/metrics` counts them, and what was added between two readings. */
import type { Samples } from "../../wire/metrics.ts";

export interface Bucket {
  /** The longest duration that counts here, in seconds. */
  readonly upTo: number;
  /** How many were that long, and longer than those of the bucket before. */
  readonly count: number;
}

export interface Histogram {
  /** The shortest first; the last one has no bound. */
  readonly buckets: readonly Bucket[];
  readonly count: number;
  /** All durations together, in seconds. */
  readonly sum: number;
}

/** Return the histogram of a metric, over all its labels; undefined if there is none. */
export function readHistogram(samples: Samples, name: string): Histogram | undefined {
  const atMost = new Map<number, number>();
  for (const { labels, value } of samples.get(`${name}_bucket`) ?? []) {
    const upTo = labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le);
    atMost.set(upTo, (atMost.get(upTo) ?? 0) + value);
  }
  if (atMost.size === 0) return undefined;
  let below = 0;
  const buckets = [...atMost]
    .sort(([a], [b]) => a - b)
    .map(([upTo, counted]) => {
      const count = counted - below;
      below = counted;
      return { upTo, count };
    });
  const sum = (samples.get(`${name}_sum`) ?? []).reduce((all, each) => all + each.value, 0);
  return { buckets, count: below, sum };
}

/** Return what was added from `before` to `now`: all of `now` if it has begun again since. */
export function added(now: Histogram, before: Histogram | undefined): Histogram {
  if (before === undefined || before.buckets.length !== now.buckets.length) return now;
  const buckets = now.buckets.map(({ upTo, count }, at) => ({
    upTo,
    count: count - (before.buckets[at]?.count ?? 0),
  }));
  if (buckets.some((each) => each.count < 0)) return now;
  return { buckets, count: now.count - before.count, sum: now.sum - before.sum };
}

/**
 * Return the duration, in seconds, that a share of all does not exceed.
 *
 * Within a bucket the durations are taken as evenly spread.  NaN if nothing was counted; of the
 * last bucket, which has no bound, its beginning.
 */
export function quantile(histogram: Histogram, share: number): number {
  const wanted = share * histogram.count;
  if (histogram.count === 0) return Number.NaN;
  let [below, from] = [0, 0];
  for (const { upTo, count } of histogram.buckets) {
    if (count > 0 && below + count >= wanted) {
      if (!Number.isFinite(upTo)) return from;
      return from + (upTo - from) * Math.max(0, (wanted - below) / count);
    }
    below += count;
    from = upTo;
  }
  return from;
}

/** Return the buckets from the first to the last in which anything was counted. */
export function occupied(histogram: Histogram): readonly Bucket[] {
  const { buckets } = histogram;
  const first = buckets.findIndex((each) => each.count > 0);
  const last = buckets.findLastIndex((each) => each.count > 0);
  return first < 0 ? [] : buckets.slice(first, last + 1);
}

/** Return a duration in seconds in few characters: `250 µs`, `1.5 ms`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const digits = (value: number): string =>
    value < 10 ? String(Math.round(value * 10) / 10) : String(Math.round(value));
  if (seconds < 0.001) return `${digits(seconds * 1e6)} µs`;
  return seconds < 1 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds)} s`;
}
