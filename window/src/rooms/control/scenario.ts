/** Scenarios that run: how far they are, and what they do next. */
import type { Got } from "../../wire/plant.ts";

export type ScenariosPage = Got<"/plant/v1/scenarios">;
export type Scenario = ScenariosPage["scenarios"][number];
export type Change = Scenario["changes"][number];

/** Return how much of a scenario has passed at a market time, from 0 to 1. */
export function progressAt(scenario: Scenario, nowMs: number): number {
  if (scenario.state === "over") return scenario.stopped ? passed(scenario, nowMs) : 1;
  return passed(scenario, nowMs);
}

function passed({ start_ms, end_ms }: Scenario, nowMs: number): number {
  return Math.min(1, Math.max(0, (nowMs - start_ms) / Math.max(1, end_ms - start_ms)));
}

/** Return the next change of a scenario; undefined if none is to come. */
export function nextChange(scenario: Scenario): Change | undefined {
  return scenario.changes.find(({ state }) => state === "to come");
}

/** Return the changes that failed. */
export function failures(scenario: Scenario): readonly Change[] {
  return scenario.changes.filter(({ state }) => state === "failed");
}

/** Return the scenarios that wait or run, and those that are over, the latest first. */
export function inOrder(page: ScenariosPage): {
  on: readonly Scenario[];
  over: readonly Scenario[];
} {
  const on = page.scenarios.filter(({ state }) => state !== "over");
  const over = page.scenarios.filter(({ state }) => state === "over").reverse();
  return { on, over };
}

/** Return the library, what cannot be started here last: only a simulated market can be changed. */
export function startableFirst(
  library: ScenariosPage["library"],
  isSimulated: boolean,
): ScenariosPage["library"] {
  if (isSimulated) return library;
  const [here, elsewhere] = [false, true].map((needs) =>
    library.filter(({ needs_simulation }) => needs_simulation === needs),
  );
  return [...(here ?? []), ...(elsewhere ?? [])];
}
