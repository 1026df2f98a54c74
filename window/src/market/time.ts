/** Market time, which may stand still or go faster than the time of this machine. */
import { effect } from "@preact/signals";
import { poll, server } from "../wire/plant.ts";
import { feed } from "../wire/socket.ts";

const CLOCK_EVERY_MS = 2_000;
/** For how long market time is assumed to go on without an event. */
const LONGEST_SILENCE_MS = 2_500;

let newestMs = 0;
let seenAtMs = 0;
let speed = 1;

/** Return market time in ms; 0 until an event or the server has told it. */
export function marketNow(): number {
  if (newestMs === 0) return 0;
  return newestMs + Math.min(Date.now() - seenAtMs, LONGEST_SILENCE_MS) * speed;
}

function observe(eventMs: number): void {
  newestMs = eventMs;
  seenAtMs = Date.now();
}

/** Follow the events and, where there is one, the clock of the server. */
export function followTime(): void {
  feed.onTime((eventMs) => {
    if (eventMs > newestMs || eventMs < newestMs - LONGEST_SILENCE_MS) observe(eventMs);
  });
  effect(() => {
    if (!server.value?.controls.clock) return;
    const clock = poll("/plant/v1/clock", CLOCK_EVERY_MS).state.value.data;
    if (clock === undefined) return;
    speed = clock.state === "playing" ? clock.speed || 1 : 0;
    observe(clock.time_ms);
  });
}
