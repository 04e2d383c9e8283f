import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { workQueueCases } from "../support/work-queue-cases.ts";
import { workQueueWorkerCases } from "../support/work-queue-worker-cases.ts";
import type { Place } from "../support/work-queues.ts";

const PLACES: Readonly<Record<string, () => Place>> = {
  memory: () => {
    const broker = new MemoryBroker();
    return { broker: () => broker };
  },
  file: () => {
    const folder = mkdtempSync(path.join(tmpdir(), "herald-queue-"));
    return {
      broker: () => new FileBroker({ directory: path.join(folder, "store") }),
      end: () => rmSync(folder, { recursive: true, force: true }),
    };
  },
};

describe.each(Object.entries(PLACES))("a work queue over the %s broker", (_name, makePlace) => {
  workQueueCases(makePlace);
  workQueueWorkerCases(makePlace);
});
