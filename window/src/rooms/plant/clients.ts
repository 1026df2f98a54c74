/** The connections of the server with their rates, found by words and put in an order. */
import { Store } from "../../frame.ts";
import type { Got } from "../../wire/plant.ts";
import { Rates } from "./rates.ts";

export type ConnectionsPage = Got<"/plant/v1/connections">;
export type Connection = ConnectionsPage["connections"][number];
export type Closed = ConnectionsPage["closed"][number];

/** One connection as it is shown. */
export interface Client {
  /** Unlike its id, of this connection only, whatever process had it when. */
  readonly key: string;
  readonly connection: Connection;
  /** Whether it is that of this page. */
  readonly isOwn: boolean;
  /** NaN until it has been seen twice. */
  readonly messagesPerS: number;
  readonly bytesPerS: number;
}

/** The connections, as last reported. */
export class Clients extends Store {
  /** In the order of the server: those for which most waits first. */
  clients: readonly Client[] = [];
  closed: readonly Closed[] = [];
  /** Open connections, listed or not. */
  total = 0;
  /** Whether the server has reported at all. */
  isKnown = false;
  readonly #rates = new Rates();
  readonly #ownName: string;
  #atMs = 0;

  /** @param ownName - what this page calls itself in the address of its connection */
  constructor(ownName: string) {
    super();
    this.#ownName = ownName;
  }

  /** Take a report of the server. */
  take(page: ConnectionsPage, atMs: number): void {
    if (atMs <= this.#atMs) return;
    this.#atMs = atMs;
    const rates = this.#rates.take(
      page.connections.flatMap((each) => {
        const key = keyOf(each);
        // When its process counted, which reports to the server less often than we ask.
        const countedMs = each.opened_ms + each.limits.age_ms.used;
        return [
          { name: `messages ${key}`, value: each.messages, atMs: countedMs },
          { name: `bytes ${key}`, value: each.bytes, atMs: countedMs },
        ];
      }),
    );
    this.clients = page.connections.map((connection) => {
      const key = keyOf(connection);
      return {
        key,
        connection,
        isOwn: isOwn(connection.path, this.#ownName),
        messagesPerS: rates.get(`messages ${key}`) ?? Number.NaN,
        bytesPerS: rates.get(`bytes ${key}`) ?? Number.NaN,
      };
    });
    this.closed = page.closed;
    this.total = page.total;
    this.isKnown = true;
    this.touch();
  }

  /** Whether the only connections are of this page. */
  get isAlone(): boolean {
    return this.total === this.clients.length && this.clients.every((each) => each.isOwn);
  }
}

/** Return what tells a connection from all others, also from those before a restart. */
export function keyOf(connection: {
  readonly worker: string;
  readonly id: string;
  readonly opened_ms: number;
}): string {
  return `${connection.worker}/${connection.id}/${connection.opened_ms}`;
}

/** Whether a path is that of the page with this name. */
export function isOwn(path: string, ownName: string): boolean {
  const query = path.slice(path.indexOf("?") + 1);
  return path.includes("?") && query.split("&").includes(`window=${ownName}`);
}

/** Return the clients in which every word of `words` is found, in any field that is text. */
export function matching(clients: readonly Client[], words: string): readonly Client[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return clients;
  return clients.filter(({ connection, isOwn: own }) => {
    const { id, worker, venue, address, user_agent, path, kind, delivery, streams } = connection;
    const text = [id, worker, venue, address, user_agent, path, kind, delivery, ...streams];
    const all = `${text.join("\n")}${own ? "\nthis window" : ""}`.toLowerCase();
    return wanted.every((word) => all.includes(word));
  });
}
