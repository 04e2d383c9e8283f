import path from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Whole brokers and whole runs of chaos take minutes each: what is begun last must not be one of them. */
const LONG =
  /test\/(?:chaos.*|patterns\/killed|brokers\/(?:kafka|rabbitmq|failover|failover-pairs|redis|file|nats|bullmq))\.test\.ts$/;

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const of = (isLong: boolean) => files.filter(({ moduleId }) => LONG.test(moduleId) === isLong);
    return [...of(true), ...of(false)];
  }
}

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 120_000,
    // Servers start in hooks: a JVM takes its time on a busy machine.
    hookTimeout: 120_000,
    // How long a condition may take that a busy machine delays; what holds is found at once.
    expect: { poll: { timeout: 60_000 } },
    // Node strips types with WebAssembly, and V8 13.6 can end a process whose threads make the wrappers of its imports faster at
    // the same time: "Check failed: jit_page.has_value()". They stay as they are; built code has no WebAssembly.
    execArgv: ["--wasm-wrapper-tiering-budget=2147483647"],
    // Processes and threads that tests start from source find their types stripped already, in half the time.
    env: { NODE_COMPILE_CACHE: path.resolve("node_modules/.cache/compile") },
    setupFiles: "./test/support/compile-cache.ts",
    // Much of a run is waiting for leases, servers and processes: with two workers a quarter of two cores' time stood idle.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    globalSetup: "./test/support/build.ts",
    reporters: ["default", "./scripts/closing-counts.ts"],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      exclude: ["src/**/*.test.ts"],
      reporter: ["text-summary", "json-summary"],
      thresholds: { lines: 90, "src/delivery/**": { lines: 100 } },
    },
  },
});
