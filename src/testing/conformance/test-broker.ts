import { CASES } from "./cases/index.ts";
import { runCase } from "./run.ts";
import type { Harness } from "./harness.ts";

/** What a test gets from its runner; only skipping is used, where there is one. */
export interface TestContext {
  skip?(note?: string): unknown;
}

/** The two functions of a test runner: `describe` and `it` of Vitest, Jest and `node:test` all fit. */
export interface TestRunner {
  readonly describe: (name: string, define: () => void) => unknown;
  readonly it: (name: string, run: (context: TestContext) => Promise<void>, timeoutMs?: number) => unknown;
}

/**
 * Registers every case of the conformance suite as a test: a broker's test file is this one call. A case that the broker
 * has no ability for is skipped with the name of the ability; that asking for it is refused is a case of its own.
 */
export function testBroker(harness: Harness, { describe, it }: TestRunner): void {
  const seed = harness.seed ?? Date.now() % 2 ** 32;
  describe(`${harness.name} conforms (seed ${seed})`, () => {
    for (const one of CASES) {
      const run = async (context: TestContext) => {
        const result = await runCase({ ...harness, seed }, one);
        if (result.status === "failed") throw new Error(result.error);
        if (result.status === "notApplicable") context.skip?.(`the broker lacks: ${result.ability}`);
      };
      it(`${one.id}: ${one.title}`, run, (one.timeoutMs ?? 120_000) * 2 + 10_000);
    }
  });
}
