import path from "node:path";
import { hybrid, type HybridBroker } from "../../src/brokers/hybrid/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import { MemoryInbox } from "../../src/stores/memory-inbox.ts";
import type { CreateOptions, Harness } from "../../src/testing/conformance/harness.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { divided, hybridFilesAt } from "./child-hybrid.ts";
import { folderOf } from "./harness-file.ts";

const DEDUPE_WINDOW_MS = 120_000;

function memories({ clock, bounds }: Partial<CreateOptions>): HybridBroker {
  const stepped = clock === undefined ? {} : { clock };
  const memory = () => new MemoryBroker({ dedupeWindowMs: DEDUPE_WINDOW_MS, ...stepped, ...bounds });
  return hybrid(divided(memory(), memory(), memory()), stepped);
}

/** Three memory brokers as one, at the speed of memory, on a stepped clock. */
export const hybridMemoryHarness: Harness = {
  name: "hybrid(memory, memory, memory)",
  create: memories,
  createService: (options) => new MessagingService(options),
  createInbox: (options) => new MemoryInbox(options),
  clock: () => new FakeClock(),
  traits: ["bounded"],
  dedupeWindowMs: DEDUPE_WINDOW_MS,
};

/** Three file brokers as one, in folders of their own below that of the place. In real time. */
export const hybridFilesHarness: Harness = {
  name: "hybrid(file, file, file)",
  create: ({ place }) => hybridFilesAt(folderOf(place)),
  createService: (options) => new MessagingService(options),
  child: new URL(`child-hybrid.ts?root=${encodeURIComponent(path.dirname(folderOf("x")))}`, import.meta.url),
  scale: 0.02,
};
