/** The metrics of the server, read from the text that Prometheus reads. */

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples by the name of the metric. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPES: Readonly<Record<string, string>> = { n: "\n", '"': '"', "\\": "\\" };

/** Return the samples in a text; lines that are none are skipped. */
export function parseMetrics(text: string): Samples {
  const samples = new Map<string, Sample[]>();
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (found === null) continue;
    const [, name = "", labels = "", value = ""] = found;
    const sample = { labels: parseLabels(labels), value: parseValue(value) };
    const known = samples.get(name);
    if (known === undefined) samples.set(name, [sample]);
    else known.push(sample);
  }
  return samples;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name = "", value = ""] of text.matchAll(LABEL)) {
    labels[name] = value.replace(/\\(.)/g, (_, each: string) => ESCAPES[each] ?? each);
  }
  return labels;
}

function parseValue(text: string): number {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  return text === "-Inf" ? Number.NEGATIVE_INFINITY : Number(text);
}

/** Return the sum of the samples of a metric that have all `labels`. */
export function total(
  samples: Samples,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  let sum = 0;
  for (const each of samples.get(name) ?? []) if (matches(each, labels)) sum += each.value;
  return sum;
}

/** Return the sums of the samples of a metric by the value of one label. */
export function totalBy(samples: Samples, name: string, label: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const each of samples.get(name) ?? []) {
    const key = each.labels[label] ?? "";
    sums.set(key, (sums.get(key) ?? 0) + each.value);
  }
  return sums;
}

function matches(sample: Sample, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(labels).every(([name, value]) => sample.labels[name] === value);
}
