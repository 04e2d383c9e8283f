import { readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { randomInt, seededRandom } from "../../../testing/random.ts";
import {
  copyStore,
  createStore,
  flipBits,
  scratchFolder,
  type SampleStore,
} from "../../../../test/support/file-store.ts";
import { repairStorage } from "./repair-storage.ts";
import { prepareStorage } from "./prepare-storage.ts";
import { verifyStorage } from "./verify-storage.ts";

const CHANNELS = ["orders.created", "orders.paid", "logs"];
const FIRST = 399;
const SECOND = 201;
const ALL = FIRST + SECOND;
let root: string;
let origin: SampleStore;
/** A copy for one case. */
let place: string;
let database: string;
let wal: string;

/** The first messages are in the database, the later ones only in its log. */
beforeAll(() => {
  root = scratchFolder("verify");
  origin = createStore(path.join(root, "origin"));
  for (let at = 0; at < FIRST; at += 1) origin.append(CHANNELS[at % 3] as string, 100 + ((at * 7) % 900));
  origin.sql.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  for (let at = 0; at < SECOND; at += 1) origin.append(CHANNELS[at % 3] as string, 100 + ((at * 7) % 900));
  place = path.join(root, "case");
  database = path.join(place, "herald.db");
  wal = `${database}-wal`;
});
beforeEach(() => copyStore(origin.directory, place));
afterAll(() => {
  origin.sql.close();
  rmSync(root, { recursive: true });
});

/** Every message with all its columns, by SQLite alone. */
function messagesIn(file: string): Map<number, string> {
  const sql = new DatabaseSync(file, { readOnly: true });
  const rows = sql.prepare("SELECT * FROM messages").all();
  sql.close();
  return new Map(
    rows.map(({ seq, body, ...columns }) => [
      Number(seq),
      `${Buffer.from(body as Uint8Array).toString("latin1")} ${JSON.stringify(columns)}`,
    ]),
  );
}

const originals = (): Map<number, string> => messagesIn(path.join(origin.directory, "herald.db"));

/** Where the attributes of a message stand in the database file; pages that were split hold older copies before. */
function offsetOf(position: number): number {
  return readFileSync(database).lastIndexOf(`"m-${position}"`);
}

describe("a storage that is sound", () => {
  it("is found sound, with every message, at rest and while a process uses it", () => {
    expect(verifyStorage(place)).toMatchObject({
      ok: true,
      records: ALL,
      damaged: [],
      structure: [],
      wal: { state: "sound" },
    });
    expect(verifyStorage(origin.directory)).toMatchObject({
      ok: true,
      records: ALL,
      wal: { state: "inUse", users: [process.pid] },
    });
  });

  it("is not changed by the look at it, and not touched by a repair", () => {
    const before = readFileSync(database);
    expect(repairStorage(place)).toMatchObject({ repaired: false, kept: ALL, copy: null });
    expect(readFileSync(database).equals(before)).toBe(true);
    expect(readdirSync(place).toSorted()).toEqual(["herald.db", "herald.db-shm", "herald.db-wal"]);
  });

  it("that does not exist is an error, and is not made", () => {
    const nowhere = path.join(root, "nowhere");
    expect(() => verifyStorage(nowhere)).toThrow(/There is no storage in/);
    expect(() => repairStorage(nowhere)).toThrow(/There is no storage in/);
    expect(statSync(nowhere, { throwIfNoEntry: false })).toBeUndefined();
  });
});

describe("a damaged record", () => {
  it("is named by position and channel, and everything else is read", () => {
    flipBits(database, offsetOf(5) + 2, 1);
    const report = verifyStorage(place);
    expect(report).toMatchObject({
      ok: false,
      records: ALL - 1,
      damaged: [{ position: "5", channel: "orders.paid", reason: "its checksum differs" }],
    });
  });

  it("is the only one lost by a repair, which keeps its bytes, and the damaged file beside", () => {
    flipBits(database, offsetOf(5) + 2, 1);
    const report = repairStorage(place);
    expect(report).toMatchObject({
      repaired: true,
      kept: ALL - 1,
      lost: [{ position: "5", channel: "orders.paid" }],
      lostFrames: 0,
    });
    expect(report.after).toMatchObject({ ok: true, records: ALL - 1, quarantined: 1 });
    const wanted = originals();
    wanted.delete(5);
    expect(messagesIn(database)).toEqual(wanted);
    expect(report.copy).toBe(path.join(place, "herald.db.damaged-1"));
    expect(readdirSync(place).filter((name) => !name.includes("damaged"))).toEqual(["herald.db"]);
    expect(statSync(database).mode & 0o777).toBe(0o600);
  });
});

describe("a flipped bit in the database", () => {
  it("never changes or hides a message in silence, wherever it is", () => {
    const random = seededRandom(3);
    const wanted = originals();
    const bytes = readFileSync(database);
    rmSync(`${database}-shm`);
    let found = 0;
    for (let round = 0; round < 120; round += 1) {
      const at = randomInt(random, bytes.length);
      const mask = 1 << randomInt(random, 8);
      writeFileSync(database, bytes);
      flipBits(database, at, mask);
      const report = verifyStorage(place);
      rmSync(`${database}-shm`, { force: true });
      found += report.ok ? 0 : 1;
      if (!report.ok) continue;
      expect(messagesIn(database), `bit ${mask} of byte ${at}`).toEqual(wanted);
    }
    expect(found).toBeGreaterThan(30);
  });

  it("in the middle of a page's tree costs the messages of that page at most, and a repair names them", () => {
    const leaf = Math.floor(offsetOf(30) / 4096) * 4096;
    // The type of the page.
    flipBits(database, leaf, 0xff);
    const report = repairStorage(place);
    expect(report.repaired).toBe(true);
    expect(report.lost.length).toBeGreaterThan(0);
    expect(report.lost.length).toBeLessThan(30);
    expect(report.kept + report.lost.length).toBe(ALL);
    expect(
      report.lost.every(({ channel, position }) => channel === CHANNELS[(Number(position) - 1) % 3]),
    ).toBe(true);
    expect(report.after.ok).toBe(true);
  });
});

describe("a counter that does not agree with the messages", () => {
  it("is damage: a cursor that has moved would skip messages", () => {
    const sql = new DatabaseSync(database);
    sql.exec("UPDATE cursors SET seq = 100 WHERE lane_id = 1");
    sql.close();
    const report = verifyStorage(place);
    expect(report.ok).toBe(false);
    expect(report.structure).toEqual([
      "group readers has 200 messages of channel orders.created to read by its counter, and 166 are there",
    ]);
    expect(repairStorage(place).after.ok).toBe(true);
  });
});

describe("a damaged log", () => {
  it("is refused before SQLite opens it, with frame and offset, and a copy is kept once", () => {
    flipBits(wal, 32 + 4120 * 20 + 500, 8);
    const refused = (): unknown => {
      try {
        return prepareStorage(place);
      } catch (error) {
        return error;
      }
    };
    const error = refused() as { code: string; message: string; details: Record<string, unknown> };
    expect(error.code).toBe("STORAGE_CORRUPT");
    expect(error.details).toMatchObject({ frame: 21, offset: 32 + 4120 * 20 });
    expect(error.message).toContain("frame 21 at byte 82432 of herald.db-wal");
    refused();
    expect(
      readdirSync(place)
        .filter((name) => name.includes("damaged"))
        .toSorted(),
    ).toEqual(["herald.db.damaged-1", "herald.db.damaged-1-wal"]);
  });

  it("with one flipped bit gives everything back when it is repaired", () => {
    flipBits(wal, 32 + 4120 * 20 + 501, 8);
    const found = verifyStorage(place);
    expect(found).toMatchObject({
      ok: false,
      wal: { state: "damaged" },
      copy: path.join(place, "herald.db.damaged-1"),
    });
    expect(repairStorage(place)).toMatchObject({
      repaired: true,
      kept: ALL,
      lost: [],
      lostFrames: 0,
      after: { ok: true },
    });
    expect(messagesIn(database)).toEqual(originals());
    expect(prepareStorage(place).tailRepaired).toBe(0);
  });

  it("with a sector that is gone loses no more than what was in it", () => {
    const bytes = readFileSync(wal);
    bytes.fill(0xa5, 32 + 4120 * 20 + 1024, 32 + 4120 * 20 + 1536);
    writeFileSync(wal, bytes);
    const report = repairStorage(place);
    expect(report.repaired).toBe(true);
    expect(report.kept).toBeGreaterThan(ALL - 20);
    const wanted = originals();
    for (const [position, body] of messagesIn(database)) expect(body).toBe(wanted.get(position));
    expect(report.after.ok).toBe(true);
  });

  it("that was cut is noticed by the index that the process left, and its tail by its bytes without", () => {
    truncateSync(wal, statSync(wal).size - 10_000);
    expect(() => prepareStorage(place)).toThrow(/committed frames are missing or broken/);
    rmSync(`${database}-shm`);
    expect(prepareStorage(place).tailRepaired).toBeGreaterThan(0);
  });

  it("whose database is gone is not taken for a new storage", () => {
    rmSync(database);
    expect(() => prepareStorage(place)).toThrow(/the database is empty or gone while its log is not/);
  });
});

describe("a repair", () => {
  it("is refused while a process uses the storage, and names it", () => {
    expect(() => repairStorage(origin.directory)).toThrow(`is in use by process ${process.pid}`);
  });

  it("that was cut off when the new database was whole goes on, and nothing opens the old one meanwhile", () => {
    copyStore(origin.directory, path.join(root, "whole"));
    const sql = new DatabaseSync(path.join(root, "whole", "herald.db"));
    sql.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    sql.close();
    writeFileSync(path.join(place, "herald.db.rebuilt"), readFileSync(path.join(root, "whole", "herald.db")));
    rmSync(wal);
    expect(() => prepareStorage(place)).toThrow(/was cut off before its end/);
    expect(repairStorage(place)).toMatchObject({ repaired: true, kept: ALL, after: { ok: true } });
    expect(messagesIn(database)).toEqual(originals());
  });
});
