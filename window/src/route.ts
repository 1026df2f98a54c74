/** What the page shows, as the part of its address after `#`: whoever has the address sees the same. */
import { type ReadonlySignal, signal } from "@preact/signals";

export const ROOMS = ["market", "plant", "control"] as const;
export type Room = (typeof ROOMS)[number];

export interface Route {
  readonly room: Room;
  /** The contract; empty until one is chosen. */
  readonly symbol: string;
  /** The interval of the candles. */
  readonly interval: string;
  /** Further parameters of rooms, by name. */
  readonly params: Readonly<Record<string, string>>;
}

export const DEFAULT_INTERVAL = "1m";

/** Return the route that the text after `#` names; what cannot be read has its default. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const [room, symbol = ""] = path.split("/").map(decoded);
  const { interval = DEFAULT_INTERVAL, ...params } = Object.fromEntries(new URLSearchParams(query));
  return { room: ROOMS.find((each) => each === room) ?? "market", symbol, interval, params };
}

/** Return the text after `#` that names a route. */
export function routeText(route: Route): string {
  const query = new URLSearchParams();
  if (route.interval !== DEFAULT_INTERVAL) query.set("interval", route.interval);
  for (const [name, value] of Object.entries(route.params)) if (value) query.set(name, value);
  const path = [route.room, route.symbol].filter(Boolean).map(encodeURIComponent).join("/");
  return `#/${path}${query.size ? `?${query}` : ""}`;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const current = signal<Route>(parseRoute(globalThis.location?.hash ?? ""));

/** The route of the page. */
export const route: ReadonlySignal<Route> = current;

/** Change the route; parameters are merged, and an empty one is removed. */
export function go(change: Partial<Route>): void {
  const next = { ...current.value, ...change };
  next.params = { ...current.value.params, ...change.params };
  const text = routeText(next);
  const isElsewhere = change.room !== undefined && change.room !== current.value.room;
  if (text === routeText(current.value)) return;
  current.value = parseRoute(text);
  if (isElsewhere) history.pushState(null, "", text);
  else history.replaceState(null, "", text);
}

globalThis.addEventListener?.("hashchange", () => {
  current.value = parseRoute(location.hash);
});
globalThis.addEventListener?.("popstate", () => {
  current.value = parseRoute(location.hash);
});
