/** What the plant room asks the server, while it is shown. */
import { effect } from "@preact/signals";
import { parseMetrics } from "../../wire/metrics.ts";
import { poll, pollMetrics } from "../../wire/plant.ts";
import { windowName } from "../../wire/window_name.ts";
import { Clients } from "./clients.ts";
import { Traffic } from "./traffic.ts";

const EVERY_MS = 2_000;
const SELDOM_MS = 4_000;

export const metrics = pollMetrics(EVERY_MS);
export const connections = poll("/plant/v1/connections", EVERY_MS);
export const clock = poll("/plant/v1/clock", EVERY_MS);
export const ready = poll("/readyz", EVERY_MS);
export const limits = poll("/plant/v1/limits", SELDOM_MS);
export const nodes = poll("/plant/v1/nodes", SELDOM_MS);

/** The rates and latencies of the last minutes; kept when another room is shown. */
export const traffic = new Traffic();

/** The connections. */
export const clients = new Clients(windowName);

/** Ask for metrics and connections until the function returned is called. */
export function follow(): () => void {
  const ends = [
    effect(() => {
      const { data, atMs } = metrics.state.value;
      if (data !== undefined) traffic.take(parseMetrics(data), atMs);
    }),
    effect(() => {
      const { data, atMs } = connections.state.value;
      if (data !== undefined) clients.take(data, atMs);
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}
