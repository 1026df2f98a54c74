import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRoute, type Route, routeText } from "../src/route.ts";

test("a route that is written is read again", () => {
  const routes: Route[] = [
    { room: "market", symbol: "BTCUSDT", interval: "1m", params: {} },
    { room: "plant", symbol: "", interval: "4h", params: {} },
    { room: "market", symbol: "<b>&?#/x", interval: "1M", params: { panel: "a=b&c" } },
  ];
  for (const route of routes) assert.deepEqual(parseRoute(routeText(route)), route);
});

test("what cannot be read of a route has its default", () => {
  const first = { room: "market", symbol: "", interval: "1m", params: {} };
  for (const text of ["", "#", "#/", "#/nowhere", "nonsense"]) {
    assert.deepEqual(parseRoute(text), first, text);
  }
  assert.equal(parseRoute("#/market/%E0%A4%A").symbol, "%E0%A4%A");
});
