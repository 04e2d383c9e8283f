import { expect } from "vitest";
import type { Harness } from "../../src/testing/conformance/harness.ts";
import { runConformance } from "../../src/testing/conformance/run.ts";

/** Holds a broker to some cases of the suite, in one test; resolves to how many passed. */
export async function conforms(harness: Harness, only: (id: string) => boolean): Promise<number> {
  const report = await runConformance(harness, { only });
  const failed = report.cases.filter(({ status }) => status === "failed");
  expect(failed.map(({ case: id, error }) => `${id}: ${error}`)).toEqual([]);
  expect(report.passed).toBeGreaterThan(0);
  return report.passed;
}
