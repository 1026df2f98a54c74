import { useStore } from "../../frame.ts";
import { Panel } from "../../parts/panel.tsx";
import { total } from "../../wire/metrics.ts";
import { duration, type Histogram, occupied, quantile } from "./histogram.ts";
import { traffic } from "./polls.ts";
import { LATENCY_MS, type Wait } from "./traffic.ts";

const TITLES: readonly { readonly wait: Wait; readonly title: string; readonly hint: string }[] = [
  {
    wait: "publish",
    title: "Event to publish",
    hint: "From the time at which a message was due to its publication",
  },
  {
    wait: "write",
    title: "Publish to write",
    hint: "From the publication of a message to its last write to a client",
  },
];

/** How long messages took in the last seconds. */
export function LatencyPanel() {
  useStore(traffic);
  const rest = total(traffic.samples, "tickerplant_flush_interval_seconds");
  return (
    <Panel title="Latency" tools={<span class="quiet">of the last {LATENCY_MS / 1_000} s</span>}>
      {TITLES.map(({ wait, title, hint }) => (
        <section key={wait} class="plant-latency" aria-label={title}>
          <h3 title={hint}>{title}</h3>
          <Bars histogram={traffic.latencies.get(wait)} />
        </section>
      ))}
      <p class="plant-text quiet">
        {rest === 0
          ? "Each turn of the event loop is flushed at once."
          : `Flushes wait ${duration(rest)}, because writing takes most of the core.`}
      </p>
    </Panel>
  );
}

function Bars(props: { readonly histogram: Histogram | undefined }) {
  const { histogram } = props;
  if (histogram === undefined) return <p class="quiet">Not measured yet.</p>;
  if (histogram.count === 0) return <p class="quiet">Nothing was measured in this time.</p>;
  const buckets = occupied(histogram);
  const most = Math.max(...buckets.map((each) => each.count));
  return (
    <>
      <p>
        p50 <strong>{duration(quantile(histogram, 0.5))}</strong>, p99{" "}
        <strong>{duration(quantile(histogram, 0.99))}</strong>, mean{" "}
        {duration(histogram.sum / histogram.count)}, {histogram.count.toLocaleString("en")} measured
      </p>
      <ol class="plant-latency-bars">
        {buckets.map(({ upTo, count }) => (
          <li key={upTo}>
            <span>{Number.isFinite(upTo) ? `≤ ${duration(upTo)}` : "longer"}</span>
            <span class="plant-latency-track">
              <span class="plant-latency-bar" style={{ width: `${(100 * count) / most}%` }} />
            </span>
            <span class="number">{count.toLocaleString("en")}</span>
          </li>
        ))}
      </ol>
    </>
  );
}
