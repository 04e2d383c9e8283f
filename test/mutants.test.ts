import { describe, expect, it } from "vitest";
import type { CreateOptions } from "../src/testing/conformance/harness.ts";
import { runConformance } from "../src/testing/conformance/run.ts";
import { ANOMALIES } from "../src/testing/index.ts";
import { memoryHarness } from "./support/harness.ts";
import { MUTANTS } from "./support/mutants/index.ts";

const harness = { ...memoryHarness, patienceMs: 1000 };

describe("a broker with one seeded fault", () => {
  it.each(MUTANTS)("fails the suite when it $name", async ({ name, near, wrap, expected }) => {
    const isNear = (id: string) => near.some((start) => id.startsWith(start));
    const control = await runConformance(harness, { only: isNear });
    const mutated = {
      ...harness,
      name,
      create: async (options: CreateOptions) => wrap(await harness.create(options)),
    };

    const report = await runConformance(mutated, { only: isNear });

    expect(control.failed).toBe(0);
    expect(report.failed).toBeGreaterThan(0);
    const found = report.cases.flatMap(({ anomalies = [] }) => anomalies);
    if ((ANOMALIES as readonly string[]).includes(expected)) expect(found).toContain(expected);
  });

  it("is one of at least twenty, each with a name of its own", () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
    expect(MUTANTS.length).toBeGreaterThanOrEqual(20);
  });
});
