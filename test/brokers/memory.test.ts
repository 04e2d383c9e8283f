import { describe, expect, it } from "vitest";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { standsInReadme } from "../support/ability-matrix.ts";
import { memoryHarness } from "../support/harness.ts";

testBroker(memoryHarness, { describe, it });
standsInReadme(() => memoryHarness, it);
testBroker(
  {
    ...memoryHarness,
    name: "memory without replay",
    scale: 0.05,
    create: ({ clock, bounds }) =>
      new MemoryBroker({ replay: 0, ...(clock === undefined ? {} : { clock }), ...bounds }),
  },
  { describe, it },
);

it("refuses options that make no sense, naming the field", () => {
  expect(() => new MemoryBroker({ maxMessages: -1 })).toThrow("maxMessages");
});
