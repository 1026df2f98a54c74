/** Market time, which may stand still or go faster than the time of this machine. */
import { effect } from "@preact/signals";
import { poll, server } from "../wire/plant.ts";
import { feed } from "../wire/socket.ts";

const CLOCK_EVERY_MS = 2_000;
/** For how long market time is assumed to go on without an event. */
const LONGEST_SILENCE_MS = 2_500;
/** A difference that the time between event and message does not explain. */
const JUMP_MS = 1_500;

/** The clock of the server, as far as it matters here. */
export interface ServerClock {
  readonly time_ms: number;
  readonly speed: number;
  readonly state: string;
}

export class MarketClock {
  readonly #wallClock: () => number;
  #newestMs = 0;
  #seenAtMs = 0;
  #speed = 1;

  constructor(wallClock: () => number) {
    this.#wallClock = wallClock;
  }

  /** Market time in ms; 0 until an event or the server has told it. */
  now(): number {
    if (this.#newestMs === 0) return 0;
    const silenceMs = this.#wallClock() - this.#seenAtMs;
    return this.#newestMs + Math.min(silenceMs, LONGEST_SILENCE_MS) * this.#speed;
  }

  /** Take the time of an event; an older one counts only if the market has gone back. */
  takeEvent(eventMs: number): void {
    if (eventMs > this.#newestMs || eventMs < this.#newestMs - LONGEST_SILENCE_MS) {
      this.#set(eventMs);
    }
  }

  /**
   * Take the clock of the server; return whether it was set to another time and stands there, so
   * that no message tells what the market is like.
   */
  takeClock(clock: ServerClock): boolean {
    const isStill = clock.state !== "playing";
    const unsureMs = JUMP_MS + LONGEST_SILENCE_MS * this.#speed;
    const isElsewhere = this.#newestMs > 0 && Math.abs(clock.time_ms - this.now()) > unsureMs;
    this.#speed = isStill ? 0 : clock.speed || 1;
    this.#set(clock.time_ms);
    return isStill && isElsewhere;
  }

  #set(timeMs: number): void {
    this.#newestMs = timeMs;
    this.#seenAtMs = this.#wallClock();
  }
}

const clock = new MarketClock(() => Date.now());

/** Return market time in ms; 0 until an event or the server has told it. */
export function marketNow(): number {
  return clock.now();
}

/** Follow the events and, where there is one, the clock of the server. */
export function followTime(): void {
  feed.onTime((eventMs) => clock.takeEvent(eventMs));
  effect(() => {
    if (!server.value?.controls.clock) return;
    const told = poll("/plant/v1/clock", CLOCK_EVERY_MS).state.value.data;
    if (told !== undefined && clock.takeClock(told)) feed.reset();
  });
}
