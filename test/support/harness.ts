import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import { MemoryInbox } from "../../src/stores/memory-inbox.ts";
import type { Harness } from "../../src/testing/conformance/harness.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";

/** How long the memory broker of the harness recognises an id. */
const DEDUPE_WINDOW_MS = 120_000;

/** The memory broker as the conformance suite takes it. */
export const memoryHarness: Harness = {
  name: "memory",
  create: ({ clock, bounds }) =>
    new MemoryBroker({
      dedupeWindowMs: DEDUPE_WINDOW_MS,
      ...(clock === undefined ? {} : { clock }),
      ...bounds,
    }),
  createService: (options) => new MessagingService(options),
  createInbox: (options) => new MemoryInbox(options),
  clock: () => new FakeClock(),
  traits: ["bounded"],
  dedupeWindowMs: DEDUPE_WINDOW_MS,
};
