import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomInt, seededRandom } from "../../../testing/random.ts";
import { scanWal } from "./wal-scan.ts";
import { parseWalIndex, type WalIndex } from "./wal-index.ts";

const FRAME = 4120;
const COMMITS = 125;
let directory: string;
let wal: Uint8Array;
/** Bytes of the log after each commit. */
const commits: number[] = [];

/** A log of its second generation, so that frames of the first lie behind its end; transactions of one and of many pages. */
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "herald-wal-"));
  const live = path.join(directory, "herald.db");
  const database = new DatabaseSync(live);
  database.exec(
    "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE log (n INTEGER PRIMARY KEY, body BLOB)",
  );
  const insert = database.prepare("INSERT INTO log (body) VALUES (zeroblob(?))");
  for (let at = 0; at < 500; at += 1) insert.run(3000);
  database.exec("PRAGMA wal_checkpoint(RESTART)");
  const write = database.prepare("INSERT INTO log (body) VALUES (?)");
  const pages = (): number => indexOf(`${live}-shm`)?.committedFrames ?? 0;
  for (let at = 0; at < COMMITS; at += 1) {
    database.exec("BEGIN IMMEDIATE");
    for (let row = 0; row <= at % 7; row += 1) write.run(Buffer.alloc(200 + ((at * 37) % 2000), at));
    database.exec("COMMIT");
    // Its index is read without giving up locks that matter: nobody else has the database open.
    commits.push(32 + pages() * FRAME);
  }
  for (const name of ["herald.db", "herald.db-wal", "herald.db-shm"])
    copyFileSync(path.join(directory, name), path.join(directory, name.replace("herald", "copy")));
  database.close();
  wal = readFileSync(path.join(directory, "copy.db-wal"));
});

afterAll(() => rmSync(directory, { recursive: true }));

const indexOf = (file: string): WalIndex | undefined => parseWalIndex(readFileSync(file));

function scanOf(bytes: Uint8Array, withIndex = false): ReturnType<typeof scanWal> {
  const file = path.join(directory, "case-wal");
  writeFileSync(file, bytes);
  return scanWal(file, withIndex ? { index: indexOf(path.join(directory, "copy.db-shm")) } : {});
}

/** What a scan says of the log with these bits of one byte turned. */
function scanFlipped(at: number, mask: number, withIndex = false): ReturnType<typeof scanWal> {
  const file = path.join(directory, "copy.db-wal");
  const handle = openSync(file, "r+");
  try {
    writeSync(handle, Uint8Array.of((wal[at] as number) ^ mask), 0, 1, at);
    return scanWal(file, withIndex ? { index: indexOf(path.join(directory, "copy.db-shm")) } : {});
  } finally {
    writeSync(handle, wal, at, 1, at);
    closeSync(handle);
  }
}

const lastCommit = (): number => commits.at(-1) ?? 0;

describe("the scan of a write-ahead log", () => {
  it("finds every commit of a sound log of a later generation, as SQLite does", () => {
    expect(wal.length).toBeGreaterThan(lastCommit());
    expect(scanOf(wal, true)).toEqual({
      state: "sound",
      pageSize: 4096,
      committedFrames: (lastCommit() - 32) / FRAME,
      tailBytes: 0,
    });
  });

  it("says that there is none where there is none, or an empty one", () => {
    expect(scanWal(path.join(directory, "nothing-wal")).state).toBe("absent");
    expect(scanOf(new Uint8Array(0)).state).toBe("absent");
    expect(scanOf(wal.subarray(0, 20))).toMatchObject({ state: "torn", tailBytes: 20 });
  });

  it("keeps what was committed before any cut, and calls the rest the tail", () => {
    const random = seededRandom(1);
    const cuts = Array.from({ length: 2000 }, () => lastCommit() - randomInt(random, 65_536));
    const file = path.join(directory, "cut-wal");
    writeFileSync(file, wal);
    for (const cut of cuts.toSorted((a, b) => b - a)) {
      truncateSync(file, cut);
      const kept = commits.findLast((bytes) => bytes <= cut) ?? 32;
      const found = scanWal(file);
      expect(found.state, `cut at ${cut}`).toBe(cut === kept ? "sound" : "torn");
      expect(found.committedFrames).toBe((kept - 32) / FRAME);
      expect(found.tailBytes).toBe(cut - kept);
    }
  });

  it("calls every cut damage where the index says that more had been committed", () => {
    for (let cut = lastCommit() - 1; cut > lastCommit() - 65_536; cut -= 997) {
      const found = scanOf(wal.subarray(0, cut), true);
      expect(found, `cut at ${cut}`).toMatchObject({ state: "damaged" });
      expect(found.damage?.committedBeyond).toBeGreaterThan(0);
    }
  });

  it("finds every flipped bit of the present generation, and where it is", () => {
    const random = seededRandom(2);
    let located = 0;
    for (let round = 0; round < 1000; round += 1) {
      const at = randomInt(random, lastCommit());
      const mask = 1 << randomInt(random, 8);
      const { state, damage } = scanFlipped(at, mask);
      expect(state, `bit ${mask} of byte ${at}`).toBe("damaged");
      expect(damage?.frame).toBe(at < 32 ? 0 : Math.floor((at - 32) / FRAME) + 1);
      if (damage?.flippedBit === undefined) continue;
      expect(damage.flippedBit).toEqual({ byte: (at - 32) % FRAME, mask });
      located += 1;
    }
    expect(located).toBeGreaterThan(600);
  });

  it("finds every flipped bit of the last frame, though nothing comes after it", () => {
    const start = lastCommit() - FRAME;
    for (let at = start; at < lastCommit(); at += 17) {
      expect(scanFlipped(at, 1 << (at % 8)), `byte ${at - start}`).toMatchObject({ state: "damaged" });
    }
  });

  it("takes no notice of what lies behind the end of the present generation", () => {
    for (let at = lastCommit() + 5; at < wal.length; at += 50_021) {
      expect(scanFlipped(at, 4, true).state).toBe("sound");
    }
  });

  it("calls a frame of zeros damage, and after a crash of the system a tail", () => {
    const file = path.join(directory, "zeros-wal");
    const before = commits.at(-4) ?? 0;
    expect(lastCommit() - before).toBeGreaterThan(4 * FRAME);
    const bytes = Uint8Array.from(wal);
    bytes.fill(0, before, before + FRAME);
    writeFileSync(file, bytes);
    const frame = (before - 32) / FRAME + 1;
    expect(scanWal(file)).toMatchObject({ state: "damaged", damage: { frame } });
    expect(scanWal(file, { afterCrash: true })).toMatchObject({ state: "torn", committedFrames: frame - 1 });
  });

  it("calls a frame half of which was never written a tail after a crash, and a wrong byte damage all the same", () => {
    const file = path.join(directory, "half-wal");
    const before = commits.at(-4) ?? 0;
    const bytes = Uint8Array.from(wal);
    bytes.fill(0, before + 2000, before + FRAME + 100);
    writeFileSync(file, bytes);
    expect(scanWal(file, { afterCrash: true }).state).toBe("torn");
    expect(scanWal(file).state).toBe("damaged");
    const wrong = Uint8Array.from(wal);
    wrong.fill(0x5a, before + 2000, before + 2512);
    writeFileSync(file, wrong);
    expect(scanWal(file, { afterCrash: true }).state).toBe("damaged");
  });

  it("takes what a rolled back transaction left behind for a tail, not for damage", () => {
    const file = path.join(directory, "rolled.db");
    const database = new DatabaseSync(file);
    database.exec("PRAGMA journal_mode=WAL; PRAGMA cache_size=5; CREATE TABLE log (body BLOB)");
    const insert = database.prepare("INSERT INTO log VALUES (zeroblob(3000))");
    database.exec("BEGIN");
    for (let row = 0; row < 200; row += 1) insert.run();
    database.exec("ROLLBACK");
    insert.run();
    const copy = path.join(directory, "rolled-copy-wal");
    copyFileSync(`${file}-wal`, copy);
    database.close();
    expect(scanWal(copy)).toMatchObject({ state: "torn" });
    truncateSync(copy, 32);
    expect(scanWal(copy)).toMatchObject({ state: "sound", committedFrames: 0 });
  });
});
