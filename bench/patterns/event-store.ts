import { DatabaseSync } from "node:sqlite";
import { hash } from "node:crypto";
import { EventStore, FileBroker, MemoryStores, type Stores } from "../../src/index.ts";
import { inFolder } from "../file/store.ts";
import type { Case } from "../memory/cases.ts";

const DURATION_MS = 4000;
const BATCH = 500;
const STREAMS = 8;
const RAW = "raw node:sqlite, events in batches of 500, hashed, synced";

function batch(): { readonly type: string; readonly data: unknown }[] {
  return Array.from({ length: BATCH }, (_none, n) => ({
    type: "ItemAdded",
    data: { order: "order-1042", item: `sku-${n}`, quantity: 1 + (n % 7), price: 12.5, note: "as ordered" },
  }));
}

/** Eight streams, each with one append of 500 events on its way; events a second that are stored. */
async function appends(stores: Stores): Promise<number> {
  const store = new EventStore(stores);
  const events = batch();
  let count = 0;
  const startedAt = performance.now();
  const writer = async (stream: string): Promise<void> => {
    while (performance.now() - startedAt < DURATION_MS) {
      await store.append(stream, events);
      count += BATCH;
    }
  };
  await Promise.all(Array.from({ length: STREAMS }, (_none, n) => writer(`bench.${n}`)));
  return (count / (performance.now() - startedAt)) * 1000;
}

async function onFile(): Promise<number> {
  return await inFolder(async (directory) => {
    const broker = new FileBroker({ directory });
    await broker.open();
    try {
      return await appends(broker.createStores());
    } finally {
      await broker.close();
    }
  });
}

/** What the technology alone does: one process, one thread, one transaction of 500 rows with a hash each after the other. */
async function raw(): Promise<number> {
  return await inFolder(async (directory) => {
    const sql = new DatabaseSync(`${directory}.raw`);
    sql.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE events(stream INTEGER, version INTEGER, body TEXT, hash TEXT, PRIMARY KEY (stream, version)) WITHOUT ROWID",
    );
    const insert = sql.prepare("INSERT INTO events VALUES (1, ?, ?, ?)");
    const events = batch();
    let count = 0;
    const startedAt = performance.now();
    while (performance.now() - startedAt < DURATION_MS) {
      sql.exec("BEGIN IMMEDIATE");
      for (const event of events) {
        const body = JSON.stringify(event);
        insert.run(++count, body, hash("sha256", body, "hex"));
      }
      sql.exec("COMMIT");
    }
    const rate = (count / (performance.now() - startedAt)) * 1000;
    sql.close();
    return rate;
  });
}

/** Reads a stream of 100,000 events and checks its chain. */
async function verify(): Promise<number> {
  return await inFolder(async (directory) => {
    const broker = new FileBroker({ directory });
    await broker.open();
    const store = new EventStore(broker);
    const events = batch();
    for (let n = 0; n < 200; n++) await store.append("bench", events);
    const startedAt = performance.now();
    const found = await store.verify("bench");
    if (!found.ok) throw new Error("The chain is broken.");
    const rate = (found.version / (performance.now() - startedAt)) * 1000;
    await broker.close();
    return rate;
  });
}

export const EVENT_STORE_CASES: readonly Case[] = [
  { name: RAW, unit: "events/s", run: raw },
  { name: "event store on file, appends of 500, synced", unit: "events/s", against: RAW, run: onFile },
  { name: "event store in memory, appends of 500", unit: "events/s", run: () => appends(new MemoryStores()) },
  { name: "event store on file, chain verified", unit: "events/s", run: verify },
];
