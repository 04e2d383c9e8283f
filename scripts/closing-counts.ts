import type { Reporter, TestModule } from "vitest/node";

/**
 * Prints the counts of a run as one plain line at its very end, for whoever reads the output by machine, and before it
 * what could not be run on this machine: tests whose name begins with `NOT RUN: `.
 */
export default class ClosingCounts implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const counts = { passed: 0, failed: errors.length, skipped: 0 };
    const notRun = new Set<string>();
    for (const module of modules) {
      counts.failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (test.name.startsWith("NOT RUN: ")) notRun.add(`${test.name}\n`);
        if (state === "passed") counts.passed++;
        else if (state === "failed") counts.failed++;
        else counts.skipped++;
      }
    }
    const skipped = counts.skipped === 0 ? "" : `, ${counts.skipped} skipped`;
    process.on("exit", () =>
      process.stdout.write(
        `\n${[...notRun].join("")}${counts.passed} passed, ${counts.failed} failed${skipped}\n`,
      ),
    );
  }
}
