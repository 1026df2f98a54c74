// The official npm clients of both venues: every market stream and every market-data method.
//
// Run by npm_official.py with one JSON argument: the folder of the packages, the venue, its
// address, the arguments by kind and the methods that take others, and how long to wait.
// Prints one line per method: kind, name, and `answer` or `error`.

import { createRequire } from "node:module";

const asked = JSON.parse(process.argv[2]);
const load = createRequire(`${asked.folder}/`);
const { name, api } = {
  usdm: { name: "usds", api: "ws-fapi" },
  coinm: { name: "coin", api: "ws-dapi" },
}[asked.venue];
const library = load(`@binance/derivatives-trading-${name}-futures`);
const Client = library[`DerivativesTrading${name[0].toUpperCase()}${name.slice(1)}Futures`];
const keys = { apiKey: "any", apiSecret: "any" };
const client = new Client({
  configurationRestAPI: { ...keys, basePath: `http://${asked.address}`, timeout: 5000, retries: 0 },
  configurationWebsocketAPI: { ...keys, wsURL: `ws://${asked.address}/${api}/v1` },
  configurationWebsocketStreams: { wsURL: `ws://${asked.address}` },
});

const MESSAGE_MS = 150; // ten messages a second are allowed on a connection
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const report = (kind, method, found) =>
  process.stdout.write(`${JSON.stringify({ kind, method, ...found })}\n`);
const methodsOf = (part) =>
  Object.getOwnPropertyNames(Object.getPrototypeOf(part)).filter((each) => each !== "constructor");
const argumentsOf = (kind, method) => ({ ...asked.arguments[kind], ...asked.others[method] });

async function ask(kind, whole, part, methods) {
  for (const method of methods ?? methodsOf(part)) {
    try {
      const answer = await whole[method](argumentsOf(kind, method));
      report(kind, method, { answer: kind === "REST" ? await answer.data() : answer.data });
    } catch (error) {
      report(kind, method, { error: `${error.name}: ${error.message}` });
    }
  }
}

async function listen() {
  const connection = await client.websocketStreams.connect();
  const parts = ["marketApi", "publicApi", "websocketMarketStreamsApi"];
  const methods = parts.flatMap((part) => (connection[part] ? methodsOf(connection[part]) : []));
  const end = Date.now() + asked.timeout_s * 1000;
  const missing = new Set(methods);
  for (const method of methods) {
    const given = argumentsOf("stream", method);
    const symbols = asked.liquidations.includes(method) ? asked.symbols : [given.symbol];
    for (const symbol of symbols) {
      connection[method]({ ...given, symbol }).on("message", (answer) => {
        if (missing.delete(method)) report("stream", method, { answer });
      });
      await pause(MESSAGE_MS);
    }
  }
  while (missing.size && Date.now() < end) await pause(100);
  for (const method of missing) report("stream", method, { error: "nothing arrived" });
  await connection.disconnect();
}

const listening = listen();
await ask("REST", client.restAPI, client.restAPI.marketDataApi);
if (asked.venue === "usdm") {
  const connection = await client.websocketAPI.connect();
  await ask("WS API", connection, connection.marketDataApi);
  await connection.disconnect();
}
await listening;
process.exit(0);
