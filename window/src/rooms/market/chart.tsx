/** The candle chart of a contract. */
import { effect, signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { onNextFrame } from "../../frame.ts";
import { bind } from "../../keys.ts";
import { type Contract, contracts } from "../../market/contracts.ts";
import { marks } from "../../market/marks.ts";
import { compact, dateTime, percent, price } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { go } from "../../route.ts";
import { marketData } from "../../wire/market_data.ts";
import { type Candle, INTERVALS, type Interval } from "./candles.ts";
import { ChartState, olderSentence } from "./chart_state.ts";
import { ChartView } from "./chart_view.ts";

const DAY_MS = 86_400_000;

/** What the lines above the candles say. */
interface Said {
  readonly phase: ChartState["phase"];
  readonly problem: string;
  readonly older: string;
  readonly canAskOlder: boolean;
  readonly markProblem: string;
  readonly candle: Candle | undefined;
  readonly markPrice: number | undefined;
  readonly isBack: boolean;
}

/** Holds the picture and the state of one contract and interval after the other. */
class Easel {
  readonly said = signal<Said | undefined>(undefined);
  #view: ChartView | undefined;
  #state: ChartState | undefined;
  #hoverMs: number | undefined;
  #isBack = false;
  readonly #draw = (): void => {
    this.#view?.draw();
    this.#say();
  };

  /** Make the picture in an element; return what removes it. */
  mount(element: HTMLElement): () => void {
    const view = new ChartView(
      element,
      (openMs) => {
        this.#hoverMs = openMs;
        onNextFrame(this.#draw);
      },
      (isBack) => {
        if (isBack === this.#isBack) return;
        this.#isBack = isBack;
        onNextFrame(this.#draw);
      },
    );
    this.#view = view;
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const recolour = (): void => view.recolour();
    scheme.addEventListener("change", recolour);
    const ends = [
      effect(() => view.setMarks(marks.value)),
      bind("+", "Wider candles", () => view.zoom(1)),
      bind("-", "Narrower candles", () => view.zoom(-1)),
      bind("<", "Earlier candles", () => view.move(-1)),
      bind(">", "Later candles", () => view.move(1)),
    ];
    return () => {
      scheme.removeEventListener("change", recolour);
      for (const end of ends) end();
      this.#view = undefined;
      view.remove();
    };
  }

  /** Show a contract and interval; return what ends that. */
  show(symbol: string, interval: Interval): () => void {
    const state = new ChartState(marketData, symbol, interval, () => onNextFrame(this.#draw));
    this.#state = state;
    this.#hoverMs = undefined;
    this.#view?.show(state);
    state.start();
    return () => state.end();
  }

  setContract(contract: Contract): void {
    this.#view?.setContract(contract);
  }

  retry(): void {
    const wasOlder = this.#state?.older === "failed";
    this.#state?.retry();
    if (wasOlder) void this.#state?.loadOlder();
  }

  toNewest(): void {
    this.#view?.toNewest();
  }

  #say(): void {
    const state = this.#state;
    if (state === undefined) return;
    const { series } = state;
    const hovered = this.#hoverMs === undefined ? undefined : series.candleAt(this.#hoverMs);
    const candle = hovered ?? series.newest;
    this.said.value = {
      phase: state.phase,
      problem: state.problem,
      older: this.#isBack ? olderSentence(state) : "",
      canAskOlder: state.older === "failed",
      markProblem: state.markProblem,
      candle,
      markPrice: candle && series.markPriceAt(candle.openMs),
      isBack: this.#isBack,
    };
  }
}

/** Candles with volume, mark price and marks; `[` and `]` choose the interval. */
export function Chart(props: { readonly symbol: string; readonly interval: string }) {
  const { symbol } = props;
  const chosen = INTERVALS.find((each) => each === props.interval);
  const interval = chosen ?? "1m";
  const element = useRef<HTMLDivElement>(null);
  const easel = useMemo(() => new Easel(), []);
  const contract = contracts.value.get(symbol);
  useEffect(() => (element.current ? easel.mount(element.current) : undefined), [easel]);
  useEffect(() => (symbol ? easel.show(symbol, interval) : undefined), [easel, symbol, interval]);
  useEffect(() => contract && easel.setContract(contract), [easel, contract]);
  useEffect(() => {
    const step = (by: number): void => {
      const next = INTERVALS[INTERVALS.indexOf(interval) + by];
      if (next !== undefined) go({ interval: next });
    };
    const ends = [
      bind("[", "Shorter interval", () => step(-1)),
      bind("]", "Longer interval", () => step(1)),
    ];
    return () => {
      for (const end of ends) end();
    };
  }, [interval]);
  return (
    <section class="panel chart-panel" aria-label="Chart">
      <Intervals interval={interval} />
      {chosen === undefined && (
        <Note kind="warning">
          There is no interval “{props.interval}”; candles of {interval} are shown.
        </Note>
      )}
      <Legend easel={easel} contract={contract} />
      <Sayings easel={easel} symbol={symbol} />
      <div
        class="chart"
        ref={element}
        data-testid="chart"
        role="img"
        aria-label={`Candles of ${symbol}, ${interval}`}
      />
    </section>
  );
}

function Intervals(props: { readonly interval: Interval }) {
  return (
    <div class="intervals">
      <fieldset class="interval-buttons" aria-label="Interval">
        {INTERVALS.map((each) => (
          <button
            key={each}
            type="button"
            aria-pressed={each === props.interval}
            onClick={() => go({ interval: each })}
          >
            {each}
          </button>
        ))}
      </fieldset>
      <label class="interval-menu">
        Interval{" "}
        <select
          value={props.interval}
          onChange={(event) => go({ interval: event.currentTarget.value })}
        >
          {INTERVALS.map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}

function Legend(props: { readonly easel: Easel; readonly contract: Contract | undefined }) {
  const { contract } = props;
  const said = props.easel.said.value;
  const candle = said?.candle;
  if (candle === undefined) return <div class="legend quiet" />;
  const change = 100 * (candle.close / candle.open - 1);
  const direction = change > 0 ? "up" : change < 0 ? "down" : "";
  const isCoinMargined = !!contract?.contractSize;
  const volume = isCoinMargined
    ? `${compact(candle.volume)} contracts`
    : `${compact(candle.volume)} ${contract?.baseAsset ?? ""}`;
  const turnoverUnit = isCoinMargined ? contract.baseAsset : contract?.quoteAsset;
  const turnover = `Worth ${compact(candle.turnover)} ${turnoverUnit ?? ""}`;
  const values: readonly (readonly [string, string, string])[] = [
    ["O", "Open", price(candle.open, contract)],
    ["H", "High", price(candle.high, contract)],
    ["L", "Low", price(candle.low, contract)],
    ["C", "Close", price(candle.close, contract)],
  ];
  return (
    <div class="legend" data-testid="legend">
      <span class="quiet" title={`${dateTime(candle.openMs)} UTC`}>
        {openText(candle)}
      </span>
      {values.map(([letter, name, text]) => (
        <span key={letter}>
          <abbr title={name}>{letter}</abbr> <span class={direction}>{text}</span>
        </span>
      ))}
      <span class={direction}>{percent(change)}</span>
      <span title={turnover}>
        <abbr title="Volume">V</abbr> {volume}
      </span>
      {said?.markPrice !== undefined && (
        <span>
          <abbr title="Mark price">mark</abbr> {price(said.markPrice, contract)}
        </span>
      )}
    </div>
  );
}

/** When a candle opened: the date where that is all there is to tell. */
function openText({ openMs, closeMs }: Candle): string {
  const text = dateTime(openMs);
  return closeMs - openMs >= DAY_MS - 1 ? text.slice(0, 10) : text.slice(5, 16);
}

function Sayings(props: { readonly easel: Easel; readonly symbol: string }) {
  const { easel, symbol } = props;
  const said = easel.said.value;
  if (said === undefined) return null;
  const retry = (
    <button type="button" onClick={() => easel.retry()}>
      Retry
    </button>
  );
  return (
    <>
      {said.phase === "failed" && (
        <Note kind="error">
          The history of {symbol} cannot be loaded: {said.problem}. Live candles go on. {retry}
        </Note>
      )}
      {said.phase !== "failed" && said.markProblem && (
        <Note kind="info">Past mark prices are missing: {said.markProblem}.</Note>
      )}
      {said.phase === "loading" && <p class="chart-state quiet">Loading candles…</p>}
      {said.phase === "empty" && (
        <p class="chart-state quiet">{symbol} has no candles yet: nobody has traded it.</p>
      )}
      {said.older && (
        <Note kind={said.canAskOlder ? "error" : "info"}>
          {said.older} {said.canAskOlder && retry}
        </Note>
      )}
      {said.isBack && (
        <button type="button" class="to-newest" onClick={() => easel.toNewest()}>
          Newest »
        </button>
      )}
    </>
  );
}
