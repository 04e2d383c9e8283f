import path from "node:path";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import { MemoryInbox } from "../../src/stores/memory-inbox.ts";
import type { Harness } from "../../src/testing/conformance/harness.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { fileAt } from "./child-file.ts";
import { emulated, type EmulatedName } from "./emulated.ts";
import { folderOf } from "./harness-file.ts";

const DEDUPE_WINDOW_MS = 120_000;

/** A wrapper around a memory broker from which what it supplies was taken away, on a stepped clock. */
export function emulateMemoryHarness(name: EmulatedName): Harness {
  return {
    name: `${name}(memory)`,
    create({ clock }) {
      const stepped = clock === undefined ? {} : { clock };
      return emulated(name, new MemoryBroker({ dedupeWindowMs: DEDUPE_WINDOW_MS, ...stepped }), stepped);
    },
    createService: (options) => new MessagingService(options),
    createInbox: (options) => new MemoryInbox(options),
    clock: () => new FakeClock(),
    dedupeWindowMs: DEDUPE_WINDOW_MS,
    scale: 0.1,
  };
}

/** The same around a file broker, with processes of their own. In real time. */
export function emulateFileHarness(name: EmulatedName): Harness {
  const root = path.dirname(folderOf("x"));
  return {
    name: `${name}(file)`,
    create: ({ place }) => emulated(name, fileAt(folderOf(place))),
    createService: (options) => new MessagingService(options),
    child: new URL(`child-emulate.ts?name=${name}&root=${encodeURIComponent(root)}`, import.meta.url),
    scale: 0.02,
    patienceMs: 20_000,
  };
}
