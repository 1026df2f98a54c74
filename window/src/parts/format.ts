/** Numbers and times as text. */
import type { Contract } from "../market/contracts.ts";

/** What stands for a number that is not known. */
export const UNKNOWN = "–";

const grouped = new Map<number, Intl.NumberFormat>();

/** Return a number with thousands separated and a fixed number of decimals. */
export function fixed(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  let format = grouped.get(decimals);
  if (format === undefined) {
    format = new Intl.NumberFormat("en", {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
    });
    grouped.set(decimals, format);
  }
  return format.format(value);
}

export function price(value: number, contract: Contract | undefined): string {
  return fixed(value, contract?.priceDecimals ?? 2);
}

export function quantity(value: number, contract: Contract | undefined): string {
  return fixed(value, contract?.quantityDecimals ?? 0);
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

/** Return a number in few characters: `1.234M`. */
export function compact(value: number): string {
  return Number.isFinite(value) ? short.format(value) : UNKNOWN;
}

/** Return a share of 100 with its sign: `+1.23 %`. */
export function percent(value: number, decimals = 2): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  const text = fixed(Math.abs(value), decimals);
  const isZero = Number(text) === 0;
  return `${isZero ? "" : value > 0 ? "+" : "−"}${text} %`;
}

/** The latest time that JavaScript has. */
const LAST_MS = 8.64e15;

/** Return the time of day in UTC: `14:03:07`. */
export function clockTime(timeMs: number, withMs = false): string {
  return isTime(timeMs) ? new Date(timeMs).toISOString().slice(11, withMs ? 23 : 19) : UNKNOWN;
}

function isTime(timeMs: number): boolean {
  return timeMs > 0 && timeMs <= LAST_MS;
}

/** Return date and time in UTC: `2026-11-23 14:03:07`. */
export function dateTime(timeMs: number): string {
  return isTime(timeMs) ? new Date(timeMs).toISOString().slice(0, 19).replace("T", " ") : UNKNOWN;
}

/** Return a length of time in its two largest units: `1h 05m`, `12s`. */
export function span(lengthMs: number): string {
  if (!Number.isFinite(lengthMs)) return UNKNOWN;
  const sign = lengthMs < 0 ? "−" : "";
  const ms = Math.abs(lengthMs);
  if (ms < 1_000) return `${sign}${Math.round(ms)}ms`;
  const s = Math.floor(ms / 1_000);
  const two = (value: number): string => String(value).padStart(2, "0");
  if (s < 60) return `${sign}${s}s`;
  if (s < 3_600) return `${sign}${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86_400) return `${sign}${Math.floor(s / 3_600)}h ${two(Math.floor((s % 3_600) / 60))}m`;
  return `${sign}${Math.floor(s / 86_400)}d ${two(Math.floor((s % 86_400) / 3_600))}h`;
}

/** Return a number of bytes in few characters: `1.5 kB`. */
export function bytes(value: number): string {
  if (!Number.isFinite(value)) return UNKNOWN;
  let [scaled, unit] = [value, "B"];
  for (const next of ["kB", "MB", "GB", "TB"]) {
    if (scaled < 1_000) break;
    scaled /= 1_000;
    unit = next;
  }
  return `${scaled < 10 && unit !== "B" ? scaled.toFixed(1) : Math.round(scaled)} ${unit}`;
}
