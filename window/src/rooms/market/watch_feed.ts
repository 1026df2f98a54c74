/** Keeps the watch list current: by the cheapest streams that are current enough. */
import { effect, signal, untracked } from "@preact/signals";
import { contracts } from "../../market/contracts.ts";
import { marketNow } from "../../market/time.ts";
import type {
  BestPrices,
  BookTicker,
  DayStatistics,
  KlineRow,
  MiniTicker,
} from "../../wire/messages.ts";
import { restGet } from "../../wire/rest.ts";
import { feed } from "../../wire/socket.ts";
import { SparkQueue } from "./spark_queue.ts";
import { WatchBoard } from "./watch_board.ts";

/** The list is drawn this often at most: faster, nobody could read it. */
const DRAW_EVERY_MS = 250;
/** What the streams have not told by then is requested. */
const FILL_AFTER_MS = 2_500;
const FILL_EVERY_MS = 15_000;
const QUOTES_EVERY_MS = 10_000;

export const board = new WatchBoard();

/** Changes when the list has to be drawn again. */
export const watchVersion = signal(0);

let isPlanned = false;

function changed(): void {
  if (isPlanned) return;
  isPlanned = true;
  setTimeout(() => {
    isPlanned = false;
    watchVersion.value += 1;
  }, DRAW_EVERY_MS);
}

export const sparks = new SparkQueue(
  {
    request: async (symbol) => {
      const rows = await restGet<KlineRow[]>("klines", { symbol, interval: "1h", limit: 24 });
      return rows.map(([, , , , close]) => Number(close));
    },
    now: () => Date.now(),
    marketNow,
    after: (delayMs, action) => setTimeout(action, delayMs),
    isShown: () => !document.hidden,
  },
  changed,
);

/** Where spreads come from, for those who wonder how current they are. */
export const spreadSource = signal("");

/** Follow the market while the list is shown; return what ends that. */
export function followWatchList(): () => void {
  const ends = [
    effect(() => {
      board.setContracts(contracts.value);
      untracked(changed);
    }),
    feed.subscribe("!miniTicker@arr", takeTickers),
    feed.onReset(() => {
      board.reset();
      sparks.reset();
      planFill();
    }),
    followQuotes(),
  ];
  planFill();
  return () => {
    clearTimeout(fillTimer);
    endFullTickers?.();
    endFullTickers = undefined;
    for (const end of ends) end();
  };
}

function takeTickers(message: unknown): void {
  board.takeTickers(message as MiniTicker[]);
  changed();
}

/** USDⓈ-M sends the quotes of all symbols every 5 s; COIN-M sends every change, which is far too much. */
function followQuotes(): () => void {
  let end: (() => void) | undefined;
  const endEffect = effect(() => {
    const [first] = contracts.value.values();
    if (first === undefined) return;
    end?.();
    const isCoinMargined = first.contractSize > 0;
    untracked(() => {
      spreadSource.value = isCoinMargined
        ? "from requests of ticker/bookTicker, every 10 s"
        : "from the stream !bookTicker, every 5 s";
    });
    const timer = isCoinMargined ? setInterval(requestQuotes, QUOTES_EVERY_MS) : undefined;
    const endStream = isCoinMargined
      ? undefined
      : feed.subscribe("!bookTicker", (message) => {
          board.takeQuote(message as BookTicker);
          changed();
        });
    requestQuotes();
    end = () => {
      clearInterval(timer);
      endStream?.();
    };
  });
  return () => {
    endEffect();
    end?.();
  };
}

function requestQuotes(): void {
  if (document.hidden) return;
  restGet<BestPrices[]>("ticker/bookTicker").then((quotes) => {
    board.takeQuotes(quotes);
    changed();
    // What is not known of the books is shown as such.
  }, ignore);
}

let fillTimer: ReturnType<typeof setTimeout> | undefined;
let filledAtMs = 0;
let endFullTickers: (() => void) | undefined;

/** Request what the streams do not tell: they only have contracts that are traded now. */
function planFill(): void {
  clearTimeout(fillTimer);
  const delayMs = Math.max(FILL_AFTER_MS, filledAtMs + FILL_EVERY_MS - Date.now());
  fillTimer = setTimeout(async () => {
    if (board.unknown === 0 || document.hidden) return;
    // A recording may have the full tickers only.
    if (board.unknown === board.rows.size) {
      endFullTickers ??= feed.subscribe("!ticker@arr", takeTickers);
    }
    filledAtMs = Date.now();
    try {
      board.takeDays(await restGet<DayStatistics[]>("ticker/24hr"));
      requestQuotes();
      changed();
    } catch {
      planFill();
    }
  }, delayMs);
}

function ignore(): void {}
