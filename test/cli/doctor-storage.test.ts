import { readFileSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { copyStore, createStore, flipBits, scratchFolder, type SampleStore } from "../support/file-store.ts";
import { call, jsonLines } from "./support/in-process.ts";

let root: string;
let place: string;
let live: SampleStore;

/** Sixty messages, the later ones only in the log, as a killed process leaves them. */
beforeEach(() => {
  vi.stubEnv("COLUMNS", "200");
  root = scratchFolder("doctor");
  place = path.join(root, "messages");
  live = createStore(path.join(root, "live"));
  for (let at = 0; at < 30; at += 1) live.append("orders.created", 200);
  live.sql.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  for (let at = 0; at < 30; at += 1) live.append("orders.paid", 200);
  copyStore(live.directory, place);
});
afterEach(() => {
  live.sql.close();
  rmSync(root, { recursive: true });
  vi.unstubAllEnvs();
});

const database = (): string => path.join(place, "herald.db");

/** Turns a bit in the attributes of the message at position 7. */
function damageRecord(): void {
  flipBits(database(), readFileSync(database()).lastIndexOf('"m-7"') + 1, 1);
}

describe("herald doctor --url file:", () => {
  it("finds a sound storage well, at rest and in use", async () => {
    const { exit, stdout } = await call(["doctor", "--url", `file:${place}`]);
    expect(exit).toBe(0);
    expect(stdout).toContain(`ok      storage ${place}: 60 messages read and sound`);
    expect(stdout).toMatch(/ok {6}log: \d+ committed frames\n/);
    expect(stdout).toContain("ok      pages: every page and every counter agree");
    const inUse = await call(["doctor", "--url", `file:${live.directory}`]);
    expect(inUse.exit).toBe(0);
    expect(inUse.stdout).toContain(`ok      log: in use by process ${process.pid}`);
  });

  it("names each damaged message and ends with 3, changing nothing", async () => {
    damageRecord();
    const before = readFileSync(database());
    const { exit, stdout } = await call(["doctor", "--json", "--url", `file:${place}`]);
    expect(exit).toBe(3);
    const lines = jsonLines(stdout).filter(({ status }) => status === "failed");
    expect(lines).toEqual([
      {
        check: `storage ${place}`,
        status: "failed",
        detail: "59 messages read and sound, 1 damaged",
        hint: `Stop what uses it, then: herald doctor --repair --url file:${place}`,
        records: 59,
        damaged: 1,
        quarantined: 0,
      },
      {
        check: "message",
        status: "failed",
        detail: "position 7 of channel orders.created: its checksum differs",
        position: "7",
        channel: "orders.created",
      },
    ]);
    expect(readFileSync(database()).equals(before)).toBe(true);
  });

  it("says where a log is damaged, and keeps a copy of it", async () => {
    flipBits(`${database()}-wal`, 32 + 4120 * 3 + 900, 1);
    const { exit, stdout } = await call(["doctor", "--url", `file:${place}`]);
    expect(exit).toBe(3);
    expect(stdout).toMatch(
      /failed {2}log: damaged in frame 4 at byte 12392: .* with \d+ committed frames at stake/,
    );
    expect(readdirSync(place)).toContain("herald.db.damaged-1-wal");
  });

  it("ends with 3 where there is no storage, and makes none", async () => {
    const { exit, stdout } = await call(["doctor", "--url", `file:${root}/nowhere`]);
    expect(exit).toBe(3);
    expect(stdout).toContain("There is no storage in");
    expect(readdirSync(root)).not.toContain("nowhere");
  });

  it("is a wrong command line for another broker's URL, and for a repair of nothing", async () => {
    for (const argv of [["--url", "redis://localhost"], ["--repair"], ["--repair", "--url", "memory:"]])
      expect((await call(["doctor", ...argv])).exit, argv.join(" ")).toBe(64);
  });
});

describe("herald doctor --repair", () => {
  it("keeps every message that is sound, names what is lost, and ends with 2", async () => {
    damageRecord();
    const { exit, stdout } = await call(["doctor", "--json", "--repair", "--url", `file:${place}`]);
    expect(exit).toBe(2);
    const lines = jsonLines(stdout);
    expect(lines.find(({ check }) => check === `repair ${place}`)).toMatchObject({
      status: "ok",
      kept: 59,
      lost: 1,
      lostFrames: 0,
      copy: `${database()}.damaged-1`,
    });
    expect(lines.find(({ check }) => check === "lost")).toMatchObject({
      position: "7",
      channel: "orders.created",
    });
    expect(lines.find(({ check }) => check === `storage ${place}`)).toMatchObject({
      status: "ok",
      records: 59,
      quarantined: 1,
    });
    expect((await call(["doctor", "--url", `file:${place}`])).exit).toBe(0);
  });

  it("gives everything back where a log has one flipped bit, and ends with 0", async () => {
    flipBits(`${database()}-wal`, 32 + 4120 * 3 + 901, 1);
    const { exit, stdout } = await call(["doctor", "--repair", "--url", `file:${place}`]);
    expect(exit).toBe(0);
    expect(stdout).toContain(
      `60 messages kept, 0 lost; the damaged database is kept as ${database()}.damaged-1`,
    );
  });

  it("touches nothing where nothing is wrong", async () => {
    const { exit, stdout } = await call(["doctor", "--repair", "--url", `file:${place}`]);
    expect(exit).toBe(0);
    expect(stdout).toContain("nothing was wrong, nothing was touched");
  });

  it("is refused while a process uses the storage, and names it", async () => {
    const { exit, stdout } = await call(["doctor", "--repair", "--url", `file:${live.directory}`]);
    expect(exit).toBe(3);
    expect(stdout).toContain(`in use by process ${process.pid}`);
  });
});
