// The official npm clients of both venues: every market stream and every market-data method.
//
// Run by npm_official.py with one JSON argument: the folder of the packages, the server, the
// contracts of each venue, and the names of the events. Prints one result per line.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const asked = JSON.parse(process.argv[2]);
const load = createRequire(`${asked.folder}/`);
for (const level of ["log", "info", "debug"]) console[level] = console.error; // what clients log

const MESSAGE_MS = 150; // ten messages a second are allowed on a connection
const MAY_BE_EMPTY = ["testConnectivity", "getFundingRateInfo"];
const SENDS_SYMBOL = "the client sends symbol, the documentation has pair";
const VENUES = {
  usdm: { name: "usds", api: "ws-fapi", differs: {} },
  coinm: {
    name: "coin",
    api: "ws-dapi",
    differs: { topTraderLongShortRatioAccounts: SENDS_SYMBOL },
  },
};
/** What methods are asked otherwise than the others of their kind; null leaves one out. */
const othersOf = ({ pair, composite }) => ({
  assetIndex: { symbol: "ADAUSD" },
  compositeIndexSymbolInformation: { symbol: composite },
  compositeIndexSymbolInformationStreams: { symbol: composite.toLowerCase() },
  queryIndexPriceConstituents: { symbol: pair },
  rpiOrderBook: { limit: 1000 },
  indexPriceAndMarkPrice: { pair: null },
  symbolOrderBookTicker: { pair: null },
  symbolPriceTicker: { pair: null },
  ticker24hrPriceChangeStatistics: { pair: null },
});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const methodsOf = (part) =>
  Object.getOwnPropertyNames(Object.getPrototypeOf(part)).filter((each) => each !== "constructor");

/** Try everything that the client of a venue offers. */
async function tryVenue(venue) {
  const { name, api, differs } = VENUES[venue];
  const library = `@binance/derivatives-trading-${name}-futures`;
  const manifest = `${asked.folder}/node_modules/${library}/package.json`;
  const { version } = JSON.parse(readFileSync(manifest, "utf-8"));
  const Client = load(library)[`DerivativesTrading${name[0].toUpperCase()}${name.slice(1)}Futures`];
  const keys = { apiKey: "any", apiSecret: "any" };
  const address = asked.server[venue];
  const client = new Client({
    configurationRestAPI: { ...keys, basePath: `http://${address}`, timeout: 5000, retries: 0 },
    configurationWebsocketAPI: { ...keys, wsURL: `ws://${address}/${api}/v1` },
    configurationWebsocketStreams: { wsURL: `ws://${address}` },
  });
  const contracts = asked.contracts[venue];
  const { perpetual: symbol, pair, now_ms: endTime } = contracts;
  const range = { interval: "1m", startTime: endTime - 24 * 3_600_000, endTime };
  const lower = { symbol: symbol.toLowerCase(), pair: pair.toLowerCase() };
  const given = {
    REST: { symbol, pair, ...range, period: "5m", contractType: "PERPETUAL", limit: 5 },
    "WS API": { symbol },
    stream: { ...lower, interval: "1m", contractType: "perpetual", levels: 5 },
  };
  const argumentsOf = (kind, method) => ({ ...given[kind], ...othersOf(contracts)[method] });

  function add(kind, method, problem) {
    const outcome = !problem ? "ok" : method in differs ? "differs from the exchange" : "failed";
    const reason = outcome === "failed" ? problem.slice(0, 400) : problem && differs[method];
    const result = { library, version, venue, kind, name: method, outcome, reason };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  }

  function problemOf(kind, method, answer) {
    const rows = [answer ?? []].flat();
    const isEmpty = !rows.length || !Object.keys(rows[0]).length;
    if (isEmpty && !MAY_BE_EMPTY.includes(method)) return "an answer without content";
    const unknown = rows.map((row) => row.e).filter((event) => !asked.events.includes(event));
    return kind === "stream" && unknown.length ? `e is ${unknown[0]}` : "";
  }

  async function ask(kind, whole, part) {
    for (const method of methodsOf(part)) {
      try {
        const answer = await whole[method](argumentsOf(kind, method));
        const data = kind === "REST" ? await answer.data() : answer.data;
        add(kind, method, problemOf(kind, method, data));
      } catch (error) {
        add(kind, method, `${error.name}: ${error.message}`);
      }
    }
  }

  async function listen() {
    const connection = await client.websocketStreams.connect();
    const parts = ["marketApi", "publicApi", "websocketMarketStreamsApi"];
    const methods = parts.flatMap((part) => (connection[part] ? methodsOf(connection[part]) : []));
    const end = Date.now() + asked.server.timeout_s * 1000;
    const missing = new Set(methods);
    for (const method of methods) {
      const others = argumentsOf("stream", method);
      const isRare = method === "liquidationOrderStreams"; // of one contract there are few
      for (const symbol of isRare ? contracts.symbols : [others.symbol]) {
        connection[method]({ ...others, symbol: symbol.toLowerCase() }).on("message", (answer) => {
          if (missing.delete(method)) add("stream", method, problemOf("stream", method, answer));
        });
        await pause(MESSAGE_MS);
      }
    }
    while (missing.size && Date.now() < end) await pause(100);
    for (const method of missing) add("stream", method, "nothing arrived");
    await connection.disconnect();
  }

  const listening = listen();
  await ask("REST", client.restAPI, client.restAPI.marketDataApi);
  if (venue === "usdm") {
    const connection = await client.websocketAPI.connect();
    await ask("WS API", connection, connection.marketDataApi);
    await connection.disconnect();
  }
  await listening;
}

for (const venue of Object.keys(VENUES)) await tryVenue(venue);
process.exit(0);
