/** The figures of the contract that is shown. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { onNextFrame } from "../../frame.ts";
import { type Contract, contracts } from "../../market/contracts.ts";
import { marketNow } from "../../market/time.ts";
import { compact, dateTime, percent, price, UNKNOWN } from "../../parts/format.ts";
import type {
  DayStatistics,
  KlineMessage,
  MarkPrice,
  OpenInterest,
  PremiumIndex,
  Ticker,
} from "../../wire/messages.ts";
import { restGet } from "../../wire/rest.ts";
import { feed } from "../../wire/socket.ts";
import { countdown, FactBoard, type Figure } from "./fact_board.ts";

/** What the streams have not told by then is requested. */
const FILL_AFTER_MS = 1_500;
const OPEN_INTEREST_EVERY_MS = 30_000;
/** Where it is not known, it is asked for at every so many-th time only. */
const SELDOM = 4;
const UNTOLD = "The server has not told it yet.";

const facts = new FactBoard();
const version = signal(0);
const redraw = (): void => {
  version.value += 1;
};
const changed = (): void => onNextFrame(redraw);

function take<T>(handler: (message: T) => void): (message: unknown) => void {
  return (message) => {
    handler(message as T);
    changed();
  };
}

/** Follow the figures of a contract; return what ends that. */
function follow(symbol: string): () => void {
  const stream = symbol.toLowerCase();
  let fillTimer: ReturnType<typeof setTimeout> | undefined;
  let hasEnded = false;
  const ask = async <T,>(figure: Figure, path: string, take: (answer: T) => void) => {
    try {
      const answer = await restGet<T | T[]>(path, { symbol });
      const one = Array.isArray(answer) ? answer[0] : answer;
      if (!hasEnded && one !== undefined) take(one);
    } catch (error) {
      if (!hasEnded) facts.fail(figure, error instanceof Error ? error.message : String(error));
    }
    changed();
  };
  let rounds = 0;
  const askOpenInterest = (): void => {
    rounds += 1;
    const isUnknown = facts.reason("openInterest") !== "";
    if (document.hidden || (isUnknown && rounds % SELDOM !== 0)) return;
    void ask<OpenInterest>("openInterest", "openInterest", (answer) =>
      facts.takeOpenInterest(answer),
    );
  };
  const fill = (): void => {
    clearTimeout(fillTimer);
    fillTimer = setTimeout(() => {
      if (!facts.day) {
        void ask<DayStatistics>("day", "ticker/24hr", (day) => facts.takeTicker(tickerOf(day)));
      }
      if (!facts.mark) {
        void ask<PremiumIndex>("mark", "premiumIndex", (premium) => facts.takePremium(premium));
      }
      askOpenInterest();
    }, FILL_AFTER_MS);
  };
  const timer = setInterval(askOpenInterest, OPEN_INTEREST_EVERY_MS);
  const ends = [
    feed.onReset(() => {
      facts.reset();
      changed();
      fill();
    }),
    feed.subscribe(
      `${stream}@ticker`,
      take((ticker: Ticker) => facts.takeTicker(ticker)),
    ),
    feed.subscribe(
      `${stream}@markPrice@1s`,
      take((mark: MarkPrice) => facts.takeMark(mark)),
    ),
  ];
  fill();
  return () => {
    hasEnded = true;
    clearInterval(timer);
    clearTimeout(fillTimer);
    for (const end of ends) end();
  };
}

function tickerOf(day: DayStatistics) {
  return {
    E: day.closeTime,
    c: day.lastPrice,
    o: day.openPrice,
    h: day.highPrice,
    l: day.lowPrice,
    v: day.volume,
    q: day.quoteVolume ?? day.baseVolume ?? "",
  };
}

/** Last, mark and index price, funding, open interest, and the statistics of 24 hours. */
export function Facts(props: { readonly symbol: string; readonly interval: string }) {
  const { symbol, interval } = props;
  useEffect(() => {
    facts.forget();
    changed();
    return symbol ? follow(symbol) : undefined;
  }, [symbol]);
  useEffect(() => {
    const handler = take((message: KlineMessage) => facts.takeCandle(message));
    // The stream of the chart has the last price sooner than the others.
    return symbol
      ? feed.subscribe(`${symbol.toLowerCase()}@kline_${interval}`, handler)
      : undefined;
  }, [symbol, interval]);
  void version.value;
  const contract = contracts.value.get(symbol);
  const { last, direction, change, day, mark } = facts;
  const sign = { "-1": "▾", "0": "", "1": "▴" }[direction];
  const tone = { "-1": "down", "0": "", "1": "up" }[direction];
  const isCoinMargined = !!contract?.contractSize;
  const [volumeUnit, turnoverUnit] = isCoinMargined
    ? ["contracts", contract.baseAsset]
    : [contract?.baseAsset ?? "", contract?.quoteAsset ?? ""];
  return (
    <section class="panel facts" aria-label="Figures">
      <h2 class="facts-symbol">
        {symbol || UNKNOWN}
        <Standing contract={contract} />
      </h2>
      <p
        class={`facts-last ${tone}`}
        data-testid="last-price"
        data-value={Number.isNaN(last) ? "" : last}
        title={Number.isNaN(last) ? "No trade and no statistics have come yet." : "Last price"}
      >
        {price(last, contract)} <span class="facts-sign">{sign}</span>
      </p>
      <p
        class={`facts-change ${change > 0 ? "up" : change < 0 ? "down" : ""}`}
        title={day ? "Change in 24 hours" : facts.reason("day") || UNTOLD}
      >
        {percent(change)} <span class="quiet">24 h</span>
      </p>
      <dl>
        <Fact name="Mark" reason={facts.reason("mark")} isKnown={!!mark}>
          <span data-testid="mark-price">{price(mark?.price ?? Number.NaN, contract)}</span>
        </Fact>
        <Fact name="Index" reason={facts.reason("mark")} isKnown={!!mark && mark.index > 0}>
          {price(mark?.index ?? Number.NaN, contract)}
        </Fact>
        <Funding contract={contract} />
        <Fact
          name="Open interest"
          reason={facts.reason("openInterest")}
          isKnown={!Number.isNaN(facts.openInterest)}
          hint={openInterestValue(contract)}
        >
          {compact(facts.openInterest)} <small>{volumeUnit}</small>
        </Fact>
        <Fact name="24 h high" reason={facts.reason("day")} isKnown={!!day}>
          {price(day?.high ?? Number.NaN, contract)}
        </Fact>
        <Fact name="24 h low" reason={facts.reason("day")} isKnown={!!day}>
          {price(day?.low ?? Number.NaN, contract)}
        </Fact>
        <Fact name="24 h volume" reason={facts.reason("day")} isKnown={!!day}>
          {compact(day?.volume ?? Number.NaN)} <small>{volumeUnit}</small>
        </Fact>
        <Fact name="24 h turnover" reason={facts.reason("day")} isKnown={!!day}>
          {compact(day?.turnover ?? Number.NaN)} <small>{turnoverUnit}</small>
        </Fact>
      </dl>
    </section>
  );
}

function openInterestValue(contract: Contract | undefined): string {
  const price = facts.mark?.price ?? facts.last;
  if (contract === undefined || !(price > 0)) return "";
  const size = contract.contractSize;
  const value = facts.openInterest * (size || price);
  return `Worth ${compact(value)} ${contract.quoteAsset}`;
}

/** What kind of contract it is, and its status unless it is simply traded. */
function Standing(props: { readonly contract: Contract | undefined }) {
  const { contract } = props;
  if (contract === undefined) return null;
  const type = contract.contractType.toLowerCase().replaceAll("_", " ");
  const status = contract.status.toLowerCase().replaceAll("_", " ");
  return (
    <span class="facts-standing quiet">
      {type}
      {contract.deliveryMs > 0 && (
        <span title="Delivery, UTC">, delivery {dateTime(contract.deliveryMs).slice(0, 16)}</span>
      )}
      {contract.status !== "TRADING" && <strong class="facts-status">{status}</strong>}
    </span>
  );
}

/** The funding rate with the market time left until it is paid. */
function Funding(props: { readonly contract: Contract | undefined }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
  const { mark } = facts;
  const isDelivered = !!props.contract?.deliveryMs;
  const rate = mark?.fundingRate ?? Number.NaN;
  const reason = isDelivered
    ? "A contract with a delivery date has no funding."
    : facts.reason("mark");
  const nextMs = mark?.nextFundingMs ?? 0;
  const hint = nextMs > 0 ? `Paid at ${dateTime(nextMs)} UTC, market time` : "";
  return (
    <Fact name="Funding" reason={reason} isKnown={!isDelivered && !Number.isNaN(rate)} hint={hint}>
      {percent(100 * rate, 4)}{" "}
      <small data-testid="funding-countdown">
        {nextMs > 0 ? countdown(nextMs, marketNow()) : UNKNOWN}
      </small>
    </Fact>
  );
}

function Fact(props: {
  readonly name: string;
  readonly isKnown: boolean;
  /** Why it is not known. */
  readonly reason: string;
  readonly hint?: string;
  readonly children: preact.ComponentChildren;
}) {
  const { name, isKnown, reason, hint, children } = props;
  const why = reason || UNTOLD;
  return (
    <div class="fact" title={isKnown ? hint || undefined : why}>
      <dt>{name}</dt>
      <dd>
        {isKnown ? (
          children
        ) : (
          <>
            {UNKNOWN} <span class="for-readers">{why}</span>
          </>
        )}
      </dd>
    </div>
  );
}
