import assert from "node:assert/strict";
import { test } from "node:test";
import { contracts, loadContracts } from "../src/market/contracts.ts";
import { loadServer, PlantError, plantGet, server } from "../src/wire/plant.ts";
import { RestError, restGet } from "../src/wire/rest.ts";

Object.assign(globalThis, { document: { baseURI: "http://house:9001/" } });

/** Answer every request with this text. */
function answer(text: string, status = 200, type = "application/json"): void {
  globalThis.fetch = async () => new Response(text, { status, headers: { "Content-Type": type } });
}

test("a refusal whose body is null is a refusal", async () => {
  answer("null", 500);
  await assert.rejects(restGet("/fapi/v1/time"), (error: unknown) => {
    assert.ok(error instanceof RestError);
    assert.equal(error.message, "the server answered with status 500");
    return true;
  });
});

test("a page of another server is not taken for the answer of this one", async () => {
  for (const [text, type] of [
    ["<h1>Welcome</h1>", "text/html"],
    ["null", "application/json"],
    ["{", "application/json"],
  ] as const) {
    answer(text, 200, type);
    await assert.rejects(plantGet("/plant/v1/server"), PlantError);
    await loadServer();
    assert.equal(server.value, undefined);
  }
});

test("an answer that breaks off is an error that is told", async () => {
  globalThis.fetch = async () =>
    new Response(new ReadableStream({ start: (stream) => stream.error(new Error("reset")) }), {
      headers: { "Content-Type": "application/json" },
    });
  await assert.rejects(plantGet("/plant/v1/server"), PlantError);
});

test("contracts that are not listed properly do not hide the others", async () => {
  answer('{"symbols":[null,{"symbol":7},{"symbol":"AUSDT"},{"symbol":"<b>","filters":[]}]}');
  await loadContracts();
  assert.deepEqual([...contracts.value.keys()], ["AUSDT", "<b>"]);
  answer('{"symbols":null}');
  await assert.rejects(loadContracts(), RestError);
});
