import { useStore } from "../../frame.ts";
import { bytes, compact, fixed } from "../../parts/format.ts";
import { Panel } from "../../parts/panel.tsx";
import { type Samples, total } from "../../wire/metrics.ts";
import { Facts } from "./facts.tsx";
import { duration } from "./histogram.ts";
import { LineChart } from "./line_chart.tsx";
import { metrics, traffic } from "./polls.ts";
import { Problem } from "./problem.tsx";
import type { Fact } from "./source.ts";
import type { Point } from "./traffic.ts";

const messagesOf = (point: Point): number => point.messagesPerS;
const bytesOf = (point: Point): number => point.bytesPerS;
const lagOf = (point: Point): number => point.lagMs;
const messagesText = (value: number): string =>
  `${value < 1_000 ? fixed(value, value < 10 ? 1 : 0) : compact(value)} msg/s`;
const bytesText = (value: number): string => `${bytes(value)}/s`;
const lagText = (value: number): string => (value === 0 ? "0 ms" : duration(value / 1_000));

/** What is sent to all clients together. */
export function TrafficPanel() {
  useStore(traffic);
  return (
    <Panel title="Sent to all clients">
      <Problem
        what="The metrics"
        error={metrics.state.value.error}
        isKnown={traffic.samples.size > 0}
      />
      <LineChart label="Messages" value={messagesOf} text={messagesText} />
      <LineChart label="Bytes" value={bytesOf} text={bytesText} />
      <LineChart label="Lag of the source" value={lagOf} text={lagText} />
      <Facts facts={totals(traffic.samples)} />
    </Panel>
  );
}

function counted(number: number, noun: string): string {
  return `${fixed(number, 0)} ${noun}${number === 1 ? "" : "s"}`;
}

/** The streams that anybody wants: of several processes the plant has them all. */
function streams(samples: Samples): number {
  const name = "tickerplant_channels";
  const isShared = samples.get(name)?.some(({ labels }) => labels.worker === "plant");
  return total(samples, name, isShared ? { worker: "plant" } : {});
}

function totals(samples: Samples): readonly Fact[] {
  if (samples.size === 0) return [];
  const of = (name: string): number => total(samples, `tickerplant_${name}`);
  return [
    {
      name: "So far",
      value: `${fixed(of("messages_sent_total"), 0)} messages, ${bytes(of("sent_bytes_total"))}`,
    },
    {
      name: "Streams",
      value: `${counted(of("subscriptions"), "subscription")} of ${counted(streams(samples), "stream")}`,
    },
    {
      name: "Unsent",
      value: `${bytes(of("unsent_bytes"))}, ${counted(of("connections_behind"), "client")} behind`,
      hint: "Written to clients, and not taken by the network yet",
    },
    {
      name: "Waiting",
      value: `${bytes(of("backlog_bytes"))} for ${counted(of("connections_held"), "client")}`,
      hint: "Of clients that asked for the latest state, or to drop the oldest",
    },
    {
      name: "Conflated, dropped",
      value: `${fixed(of("messages_conflated_total"), 0)}, ${fixed(of("messages_dropped_total"), 0)}`,
    },
  ];
}
