/** Keeps what the page knows of the server current: after each connection it may be another one. */
import { effect, signal } from "@preact/signals";
import { contracts, loadContracts } from "../market/contracts.ts";
import { go, route } from "../route.ts";
import { loadServer } from "../wire/plant.ts";
import { RestError } from "../wire/rest.ts";
import { feed } from "../wire/socket.ts";

/** The contract that was wanted and is not there; empty if that is not so. */
export const missingSymbol = signal("");

/** Why the contracts cannot be shown; empty if they can. */
export const contractsProblem = signal("");

const AGAIN_MS = 5_000;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Ask the server about itself and its contracts now, and after each connection. */
export function follow(): void {
  void load();
  feed.onReset(() => void load());
  feed.subscribe("!contractInfo", () => void load());
  effect(chooseSymbol);
}

async function load(): Promise<void> {
  clearTimeout(timer);
  void loadServer();
  try {
    await loadContracts();
    contractsProblem.value = "";
  } catch (error) {
    contractsProblem.value = error instanceof RestError ? error.message : String(error);
    timer = setTimeout(() => void load(), AGAIN_MS);
  }
}

/** Show the first contract where none, or one that is not there, is chosen. */
function chooseSymbol(): void {
  const listed = contracts.value;
  const { symbol } = route.value;
  const [first] = listed.keys();
  if (first === undefined || listed.has(symbol)) return;
  const upper = symbol.toUpperCase();
  if (symbol && !listed.has(upper)) missingSymbol.value = symbol;
  go({ symbol: listed.has(upper) ? upper : first });
}
