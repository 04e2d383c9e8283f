import { rmSync, statSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { envelope } from "../support/envelopes.ts";
import { scratchFolder } from "../support/file-store.ts";

const MIB = 2 ** 20;
const BODY = new Uint8Array(64 * 1024).fill(7);
const PER_BURST = 64;

describe("the log of a store that is written without pause", () => {
  let directory: string;
  let broker: FileBroker;
  const sizeOf = (file: string): number => statSync(path.join(directory, file)).size;

  beforeAll(async () => {
    directory = scratchFolder("checkpoints");
    broker = new FileBroker({ directory });
    await broker.open();
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  it("is copied into the database while messages are written, and begins again", async () => {
    for (let burst = 0; burst < 60; burst++) {
      const results = await broker.publish(
        Array.from({ length: PER_BURST }, (_none, at) =>
          envelope({ id: `m-${burst}-${at}`, channel: "bulk", body: BODY }),
        ),
      );
      expect(results.every(({ ok }) => ok)).toBe(true);
    }

    // 240 MiB were written; the log of all of them would be as long.
    expect(sizeOf("herald.db-wal")).toBeLessThan(100 * MIB);
    expect(sizeOf("herald.db")).toBeGreaterThan(100 * MIB);
  });

  it("leaves all messages in a database that is whole", async () => {
    await broker.close();

    const sql = new DatabaseSync(path.join(directory, "herald.db"), { readOnly: true });
    expect(sql.prepare("SELECT count(*) AS n FROM messages").get()).toEqual({ n: 60 * PER_BURST });
    expect(sql.prepare("PRAGMA quick_check").get()).toEqual({ quick_check: "ok" });
    sql.close();
  });
});
