/** The picture of candles, volume, mark price and marks: made once, and updated. */
import {
  CandlestickSeries,
  ColorType,
  CrosshairMode,
  createChart,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  LineSeries,
  type UTCTimestamp,
} from "lightweight-charts";
import type { Contract } from "../../market/contracts.ts";
import type { Mark } from "../../market/marks.ts";
import { type Candle, type Interval, openTimes } from "./candles.ts";
import type { ChartState } from "./chart_state.ts";
import { MarkBands } from "./mark_bands.ts";

/** Candles before the first visible one below which older ones are loaded. */
const AHEAD = 100;
const ZOOM = 1.25;
/** Room right of the newest candle, for the labels of the prices. */
const RIGHT_OFFSET = 9;
const SPACINGS = { least: 0.5, most: 60 };

export class ChartView {
  readonly #element: HTMLElement;
  readonly #chart: IChartApi;
  readonly #candles: ISeriesApi<"Candlestick">;
  readonly #volumes: ISeriesApi<"Histogram">;
  readonly #markPrices: ISeriesApi<"Line">;
  readonly #bands = new MarkBands();
  #state: ChartState | undefined;
  #marks: readonly Mark[] = [];
  /** Open times of the bars, with those of missing candles. */
  #times: number[] = [];
  #drawnMs = 0;
  #up = "";
  #down = "";
  #upArea = "";
  #downArea = "";

  /**
   * @param onHover Told the open time of the candle under the pointer, or undefined.
   * @param onScroll Told whether the newest candle is out of sight.
   */
  constructor(
    element: HTMLElement,
    onHover: (openMs: number | undefined) => void,
    onScroll: (isBack: boolean) => void,
  ) {
    this.#element = element;
    this.#chart = createChart(element, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      localization: { locale: "en-GB", dateFormat: "yyyy-MM-dd" },
      timeScale: { rightOffset: RIGHT_OFFSET, timeVisible: true, secondsVisible: false },
      rightPriceScale: { scaleMargins: { top: 0.12, bottom: 0.22 } },
      // The footer of the page has the attribution; the logo would need an inline style sheet.
      layout: { attributionLogo: false },
    });
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#volumes.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { priceLineVisible: true });
    this.#markPrices = this.#chart.addSeries(LineSeries, {
      lineWidth: 1,
      priceLineVisible: false,
      crosshairMarkerVisible: false,
      title: "mark",
    });
    this.#candles.attachPrimitive(this.#bands);
    this.#chart.subscribeCrosshairMove(({ time }) =>
      onHover(typeof time === "number" ? time * 1_000 : undefined),
    );
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range === null) return;
      onScroll(range.to < this.#times.length - 1);
      if (range.from < AHEAD) void this.#state?.loadOlder();
    });
    this.recolour();
  }

  remove(): void {
    this.#chart.remove();
  }

  /** Show another contract or interval from now on. */
  show(state: ChartState): void {
    this.#state = state;
    this.#chart.timeScale().applyOptions({ timeVisible: isShorterThanDay(state.interval) });
    this.#candles.setData([]);
    this.#volumes.setData([]);
    this.#markPrices.setData([]);
    this.#times = [];
    this.#element.dataset.symbol = state.symbol;
    this.#element.dataset.interval = state.interval;
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
    this.toNewest();
  }

  setContract(contract: Contract): void {
    const priceFormat = {
      type: "price" as const,
      precision: contract.priceDecimals,
      minMove: contract.tickSize,
    };
    this.#candles.applyOptions({ priceFormat });
    this.#markPrices.applyOptions({ priceFormat });
  }

  setMarks(marks: readonly Mark[]): void {
    this.#marks = marks;
    this.#placeMarks();
  }

  /** Draw what has changed. */
  draw(): void {
    const state = this.#state;
    if (state === undefined) return;
    const { series } = state;
    const { all, from } = series.takeChanges();
    if (all) this.#drawAll(series.candles);
    else for (const candle of series.candles.slice(from)) this.#drawOne(candle);
    if (all || from < series.candles.length) {
      this.#placeMarks();
      this.#colourLast(series.newest);
    }
    const { dataset } = this.#element;
    dataset.state = state.phase;
    dataset.firstMs = String(series.candles[0]?.openMs ?? "");
    dataset.lastMs = String(series.newest?.openMs ?? "");
    dataset.last = String(series.newest?.close ?? "");
    dataset.count = String(series.candles.length);
  }

  toNewest(): void {
    this.#chart.timeScale().scrollToPosition(RIGHT_OFFSET, false);
  }

  /** Make candles wider or narrower. */
  zoom(direction: 1 | -1): void {
    const scale = this.#chart.timeScale();
    const { least, most } = SPACINGS;
    const barSpacing = scale.options().barSpacing * ZOOM ** direction;
    scale.applyOptions({ barSpacing: Math.min(most, Math.max(least, barSpacing)) });
  }

  /** Show earlier or later candles, a quarter of what is shown; nothing is later than the present. */
  move(direction: 1 | -1): void {
    const scale = this.#chart.timeScale();
    const candles = scale.width() / scale.options().barSpacing;
    const position = scale.scrollPosition() + (direction * candles) / 4;
    scale.scrollToPosition(Math.min(position, scale.options().rightOffset), false);
  }

  /** Take the colours of the page as they are now. */
  recolour(): void {
    const style = getComputedStyle(this.#element);
    const colour = (token: string): string => style.getPropertyValue(token).trim();
    const [panel, line, quiet, up, down] = ["--panel", "--line", "--quiet", "--up", "--down"].map(
      colour,
    ) as [string, string, string, string, string];
    this.#up = up;
    this.#down = down;
    this.#upArea = colour("--up-area");
    this.#downArea = colour("--down-area");
    this.#chart.applyOptions({
      layout: {
        background: { type: ColorType.Solid, color: panel },
        textColor: quiet,
        fontFamily: style.fontFamily,
        fontSize: 11,
      },
      grid: { vertLines: { color: `${line}80` }, horzLines: { color: `${line}80` } },
      crosshair: {
        vertLine: { color: quiet, labelBackgroundColor: quiet },
        horzLine: { color: quiet, labelBackgroundColor: quiet },
      },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    // Hollow candles rise and filled ones fall: no colour is needed to tell them apart.
    this.#candles.applyOptions({
      upColor: panel,
      downColor: down,
      borderUpColor: up,
      borderDownColor: down,
      wickUpColor: up,
      wickDownColor: down,
    });
    this.#markPrices.applyOptions({ color: colour("--warning") });
    const [fault, scenario, lever] = ["--fault", "--scenario", "--lever"].map(colour) as [
      string,
      string,
      string,
    ];
    this.#bands.recolour({
      kinds: { fault, scenario, lever, clock: quiet },
      background: panel,
      font: `11px ${style.fontFamily}`,
    });
    if (this.#state === undefined) return;
    this.#drawAll(this.#state.series.candles);
    this.#colourLast(this.#state.series.newest);
  }

  #drawAll(candles: readonly Candle[]): void {
    this.#times = openTimes(candles);
    const held = new Map(candles.map((each) => [each.openMs, each]));
    this.#candles.setData(
      this.#times.map((openMs) => {
        const candle = held.get(openMs);
        return candle === undefined ? { time: seconds(openMs) } : bar(candle);
      }),
    );
    this.#volumes.setData(candles.map((each) => this.#column(each)));
    this.#markPrices.setData(candles.flatMap((each) => this.#markPoint(each) ?? []));
    this.#drawnMs = candles.at(-1)?.openMs ?? 0;
  }

  #drawOne(candle: Candle): void {
    const isPast = candle.openMs < this.#drawnMs;
    this.#candles.update(bar(candle), isPast);
    this.#volumes.update(this.#column(candle), isPast);
    const point = this.#markPoint(candle);
    if (point !== undefined) this.#markPrices.update(point, isPast);
    if (candle.openMs > this.#drawnMs) this.#times.push(candle.openMs);
    this.#drawnMs = Math.max(this.#drawnMs, candle.openMs);
  }

  /** The line and the label of the last price: the body of a rising candle has no colour to take. */
  #colourLast(newest: Candle | undefined): void {
    const isDown = newest !== undefined && newest.close < newest.open;
    const priceLineColor = isDown ? this.#down : this.#up;
    if (this.#candles.options().priceLineColor !== priceLineColor) {
      this.#candles.applyOptions({ priceLineColor });
    }
  }

  #column(candle: Candle) {
    const color = candle.close < candle.open ? this.#downArea : this.#upArea;
    return { time: seconds(candle.openMs), value: candle.volume, color };
  }

  #markPoint(candle: Candle) {
    const value = this.#state?.series.markPriceAt(candle.openMs);
    return value === undefined ? undefined : { time: seconds(candle.openMs), value };
  }

  #placeMarks(): void {
    const newest = this.#state?.series.newest;
    const lengthMs = newest === undefined ? 0 : newest.closeMs + 1 - newest.openMs;
    this.#bands.show(this.#marks, this.#times, lengthMs);
  }
}

function bar({ openMs, open, high, low, close }: Candle) {
  return { time: seconds(openMs), open, high, low, close };
}

function seconds(timeMs: number): UTCTimestamp {
  return (timeMs / 1_000) as UTCTimestamp;
}

function isShorterThanDay(interval: Interval): boolean {
  return interval.endsWith("m") || interval.endsWith("h");
}
