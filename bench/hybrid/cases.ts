import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { hybrid } from "../../src/brokers/hybrid/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import type { Case } from "../memory/cases.ts";
import { through } from "../through.ts";

const MEMORY = "memory broker alone: published, received, acknowledged";
const FILE = "file broker alone: published, received, acknowledged";

async function opened<T>(broker: Broker, run: (broker: Broker) => Promise<T>): Promise<T> {
  await broker.open();
  try {
    return await run(broker);
  } finally {
    await broker.close();
  }
}

async function onFiles(make: (file: FileBroker) => Broker): Promise<number> {
  const directory = mkdtempSync(path.join(tmpdir(), "herald-bench-hybrid-"));
  try {
    return await opened(make(new FileBroker({ directory })), (broker) => through(broker));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The hybrid broker, beside its members alone. */
export const HYBRID_CASES: readonly Case[] = [
  { name: MEMORY, unit: "msg/s", run: () => opened(new MemoryBroker(), (broker) => through(broker)) },
  {
    name: "hybrid of two memory brokers, one channel",
    unit: "msg/s",
    against: MEMORY,
    run: () =>
      opened(hybrid({ bench: new MemoryBroker(), "#": new MemoryBroker() }), (broker) => through(broker)),
  },
  {
    name: "hybrid of two memory brokers, a pattern over both",
    unit: "msg/s",
    against: MEMORY,
    run: () =>
      opened(hybrid({ bench: new MemoryBroker(), "#": new MemoryBroker() }), (broker) =>
        through(broker, { pattern: "#", channels: ["bench", "other"] }),
      ),
  },
  { name: FILE, unit: "msg/s", run: () => onFiles((file) => file) },
  {
    name: "hybrid of memory and files, a channel of the files",
    unit: "msg/s",
    against: FILE,
    run: () => onFiles((file) => hybrid({ "other.#": new MemoryBroker(), "#": file })),
  },
];
