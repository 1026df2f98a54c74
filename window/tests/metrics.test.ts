import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMetrics, total, totalBy } from "../src/wire/metrics.ts";

const TEXT = `# HELP sent_total Messages.
# TYPE sent_total counter
sent_total{venue="usdm",reason="a \\"b\\" \\\\ c"} 3.0
sent_total{venue="coinm",reason="x"} 4.5e+01
wait_bucket{le="+Inf"} 7
up 1
not a line
`;

test("samples are read with their labels", () => {
  const samples = parseMetrics(TEXT);
  assert.deepEqual(samples.get("sent_total")?.[0], {
    labels: { venue: "usdm", reason: 'a "b" \\ c' },
    value: 3,
  });
  assert.deepEqual(samples.get("wait_bucket")?.[0]?.labels, { le: "+Inf" });
  assert.equal(samples.get("up")?.[0]?.value, 1);
  assert.equal(samples.get("not")?.length, undefined);
});

test("samples are added up, all or by a label", () => {
  const samples = parseMetrics(TEXT);
  assert.equal(total(samples, "sent_total"), 48);
  assert.equal(total(samples, "sent_total", { venue: "usdm" }), 3);
  assert.equal(total(samples, "missing"), 0);
  assert.deepEqual(
    [...totalBy(samples, "sent_total", "venue")],
    [
      ["usdm", 3],
      ["coinm", 45],
    ],
  );
});
