import assert from "node:assert/strict";
import { test } from "node:test";
import { percent, UNKNOWN } from "../src/parts/format.ts";

test("a percentage has a sign unless it is shown as zero", () => {
  assert.equal(percent(1.234), "+1.23 %");
  assert.equal(percent(-1.234), "−1.23 %");
  assert.equal(percent(-0.004), "0.00 %");
  assert.equal(percent(1_234.5, 1), "+1,234.5 %");
  assert.equal(percent(Number.NaN), UNKNOWN);
});
