/** The contracts of the venue, from `exchangeInfo`. */
import { type ReadonlySignal, signal } from "@preact/signals";
import { RestError, restGet } from "../wire/rest.ts";

export interface Contract {
  readonly symbol: string;
  readonly pair: string;
  readonly status: string;
  /** Such as `PERPETUAL` or `CURRENT_QUARTER`. */
  readonly contractType: string;
  readonly underlyingType: string;
  readonly baseAsset: string;
  readonly quoteAsset: string;
  readonly marginAsset: string;
  readonly tickSize: number;
  readonly priceDecimals: number;
  readonly stepSize: number;
  readonly quantityDecimals: number;
  /** The value of a contract in the quote asset; 0 where quantities are in the base asset. */
  readonly contractSize: number;
  readonly deliveryMs: number;
}

interface ListedContract {
  readonly symbol: string;
  readonly pair: string;
  readonly status?: string;
  readonly contractStatus?: string;
  readonly contractType: string;
  readonly underlyingType?: string;
  readonly baseAsset: string;
  readonly quoteAsset: string;
  readonly marginAsset: string;
  readonly contractSize?: number;
  readonly deliveryDate: number;
  readonly filters?: readonly {
    readonly filterType: string;
    readonly tickSize?: string;
    readonly stepSize?: string;
  }[];
}

/** The milliseconds of a contract that is never delivered are later than this. */
const NEVER_MS = Date.UTC(2099, 0);

/** Return a contract as the page has it. */
export function contractOf(listed: ListedContract): Contract {
  const sizeOf = (type: string): { tickSize?: string; stepSize?: string } =>
    listed.filters?.find((each) => each.filterType === type) ?? {};
  const tick = sizeOf("PRICE_FILTER").tickSize ?? "0.01";
  const step = sizeOf("LOT_SIZE").stepSize ?? "1";
  return {
    symbol: listed.symbol,
    pair: listed.pair,
    status: listed.status ?? listed.contractStatus ?? "",
    contractType: listed.contractType,
    underlyingType: listed.underlyingType ?? "",
    baseAsset: listed.baseAsset,
    quoteAsset: listed.quoteAsset,
    marginAsset: listed.marginAsset,
    tickSize: Number(tick),
    priceDecimals: decimals(tick),
    stepSize: Number(step),
    quantityDecimals: decimals(step),
    contractSize: listed.contractSize ?? 0,
    deliveryMs: listed.deliveryDate < NEVER_MS ? listed.deliveryDate : 0,
  };
}

/** Return how many decimals a step such as `0.010` has, without trailing zeros. */
export function decimals(step: string): number {
  return (step.split(".")[1] ?? "").replace(/0+$/, "").length;
}

const known = signal<ReadonlyMap<string, Contract>>(new Map());

/** The contracts by symbol, in the order of the server; empty until they are loaded. */
export const contracts: ReadonlySignal<ReadonlyMap<string, Contract>> = known;

/**
 * Load the contracts again.
 *
 * @throws RestError
 */
export async function loadContracts(): Promise<void> {
  const info = await restGet<{ symbols: ListedContract[] }>("exchangeInfo");
  if (!Array.isArray(info?.symbols)) throw new RestError(200, 0, "the answer lists no symbols");
  const listed = info.symbols.filter((each) => typeof each?.symbol === "string");
  known.value = new Map(listed.map((each) => [each.symbol, contractOf(each)]));
}
