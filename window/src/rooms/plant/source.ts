/** What the market of the server is and how it is, as lines to read. */
import { bytes, dateTime, fixed, span } from "../../parts/format.ts";
import { type Samples, total } from "../../wire/metrics.ts";
import type { Got, Server } from "../../wire/plant.ts";
import { duration } from "./histogram.ts";

export type Clock = Got<"/plant/v1/clock">;
export type Ready = Got<"/readyz">;

export interface Fact {
  readonly name: string;
  readonly value: string;
  readonly hint?: string;
}

/** Return what the market is, in a few words. */
export function sourceTitle(server: Server): string {
  switch (server.origin) {
    case "simulation":
      return "Simulated market";
    case "replay":
      return "Replay of recordings";
    case "relay":
      return server.source ? `Relay of ${server.source.replace(/^relays /, "")}` : "Relay";
  }
}

/** Return what the source does now, and whether all is well. */
export function sourceState(
  ready: Ready | undefined,
  clock: Clock | undefined,
): { readonly isWell: boolean; readonly text: string } {
  if (ready === undefined) return { isWell: true, text: "asking the server …" };
  if (clock?.state === "over") return { isWell: true, text: ready.reason || "over" };
  if (!ready.ready) return { isWell: false, text: `not served: ${ready.reason || "no reason"}` };
  const phase = clock?.state ?? "live";
  return { isWell: true, text: ready.reason ? `${phase}: ${ready.reason}` : phase };
}

/** Return how far a replay is, from 0 to 1; undefined where that is not known. */
export function progress(clock: Clock | undefined): number | undefined {
  if (clock === undefined || !("received_ns" in clock) || clock.to_ns == null) return undefined;
  const lengthNs = clock.to_ns - clock.from_ns;
  if (lengthNs <= 0) return undefined;
  return Math.min(1, Math.max(0, (clock.received_ns - clock.from_ns) / lengthNs));
}

/** Return what is known of the source. */
export function sourceFacts(
  server: Server,
  clock: Clock | undefined,
  samples: Samples,
): readonly Fact[] {
  return [
    { name: "Market time", value: `${dateTime(clock?.time_ms ?? server.now_ms)} UTC` },
    ...clockFacts(clock, samples),
    ...relayFacts(server, samples),
    ...lagFacts(samples),
    ...bookFacts(samples),
    ...processFacts(samples),
    {
      name: "Serves",
      value: `profile ${server.profile}, limits ${server.limits_enforced ? "enforced" : "only counted"}, delivery ${server.delivery}`,
    },
    { name: "Version", value: server.version },
  ];
}

function clockFacts(clock: Clock | undefined, samples: Samples): Fact[] {
  if (clock === undefined) return [];
  const facts: Fact[] = [{ name: "Speed", value: speed(clock, samples) }];
  const done = progress(clock);
  if ("received_ns" in clock) {
    const from = dateTime(clock.from_ns / 1e6);
    const length = clock.to_ns == null ? "" : `, ${span((clock.to_ns - clock.from_ns) / 1e6)} long`;
    const share = done === undefined ? "" : `${fixed(100 * done, 1)} % of `;
    facts.push(
      { name: "Position", value: `${share}the recordings from ${from} UTC${length}` },
      { name: "Recordings", value: clock.recordings.join(", ") },
      { name: "Paced by", value: `${clock.pace} times${clock.loop ? ", in a loop" : ""}` },
    );
    if (clock.shift_ms) {
      facts.push({ name: "Times", value: `${span(clock.shift_ms)} later than recorded` });
    }
    facts.push({ name: "Messages played", value: fixed(clock.messages, 0) });
  } else {
    facts.push({ name: "Market events", value: fixed(clock.messages, 0) });
  }
  return facts;
}

function speed(clock: Clock, samples: Samples): string {
  const asked = clock.speed === 0 ? "as fast as possible" : `${clock.speed} × real time`;
  if (clock.paused) return `${asked}, paused`;
  const held = total(samples, "tickerplant_source_speed_held");
  const isShort = total(samples, "tickerplant_source_speed_short") > 0;
  if (isShort) return `${asked}, but only ${fixed(held, 2)} is held: it falls behind`;
  return samples.has("tickerplant_source_speed_held") ? `${asked}, held ${fixed(held, 2)}` : asked;
}

function relayFacts(server: Server, samples: Samples): Fact[] {
  if (server.origin !== "relay") return [];
  const of = (name: string): number => total(samples, `tickerplant_upstream_${name}`);
  return [
    { name: "Upstream connections", value: `${of("connections")} open` },
    {
      name: "Upstream streams",
      value: `${of("streams")} subscribed, ${of("undelivered_streams")} not delivered, ${of("stale_streams")} stale`,
    },
    {
      name: "Upstream losses",
      value: `connections ${of("connections_lost_total")}, gaps ${of("gaps_total")}, messages missing ${of("missing_total")}`,
    },
    { name: "From the upstream", value: `${fixed(of("messages_total"), 0)} messages` },
  ];
}

function lagFacts(samples: Samples): Fact[] {
  if (!samples.has("tickerplant_source_lag_seconds")) return [];
  const lag = total(samples, "tickerplant_source_lag_seconds");
  return [
    {
      name: "Lag",
      value: lag === 0 ? "none" : duration(lag),
      hint: "How far the source is behind its own clock",
    },
  ];
}

function bookFacts(samples: Samples): Fact[] {
  if (!samples.has("tickerplant_books_live")) return [];
  const live = total(samples, "tickerplant_books_live");
  const gaps = total(samples, "tickerplant_book_gaps_total");
  return [{ name: "Order books", value: `${live} live, ${gaps} gaps so far` }];
}

function processFacts(samples: Samples): Fact[] {
  const memory = samples.get("process_resident_memory_bytes")?.[0]?.value;
  return memory === undefined ? [] : [{ name: "Memory", value: bytes(memory) }];
}
