import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FileBroker, type FileBrokerOptions } from "../../src/brokers/file/broker.ts";
import { EVENTS } from "../../src/core/events.ts";
import { randomInt, seededRandom } from "../../src/testing/random.ts";
import { envelope } from "../support/envelopes.ts";
import { copyStore, flipBits, scratchFolder } from "../support/file-store.ts";

const CHANNEL = "orders.created";
const isRoot = process.getuid?.() === 0;
const hasMounts = isRoot && spawnSync("unshare", ["-m", "true"]).status === 0;
let root: string;
let place: string;
let open: FileBroker[] = [];
let child: ChildProcess | undefined;

beforeEach(() => {
  root = scratchFolder("storage");
  place = path.join(root, "messages");
});
afterEach(async () => {
  child?.kill("SIGKILL");
  child = undefined;
  for (const broker of open.splice(0)) await broker.close();
  rmSync(root, { recursive: true });
});

async function opened(options: FileBrokerOptions = {}): Promise<FileBroker> {
  const broker = new FileBroker({ directory: place, ...options });
  await broker.open();
  open.push(broker);
  return broker;
}

/** The code of what a promise is rejected with; of a publish the code of its first result. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    const value = await promise;
    const [result] = (Array.isArray(value) ? value : []) as { ok?: boolean; error?: { code: string } }[];
    return result?.error?.code ?? "none";
  } catch (error) {
    return String((error as { code?: unknown }).code);
  }
}

const publish = (broker: FileBroker, id: string, body = Buffer.from(`{"id":"${id}"}`)): Promise<unknown> =>
  broker.publish([envelope({ id, channel: CHANNEL, body })]);

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const endsAt = performance.now() + 20_000; performance.now() < endsAt;) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("It never came to hold.");
}

/** Another Node process that runs this script; resolves to its id once it has printed something. */
async function foreign(script: string): Promise<number> {
  const started = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  child = started;
  await new Promise((resolve) => started.stdout.once("data", resolve));
  return started.pid as number;
}

/** A storage with sixty messages as a killed process leaves it: half of them in the database, half only in its log. */
async function killedStore(): Promise<string> {
  const live = path.join(root, "live");
  let broker = await opened({ directory: live });
  for (let batch = 0; batch < 12; batch += 1) {
    if (batch === 6) {
      await broker.close();
      broker = await opened({ directory: live });
    }
    await broker.publish(
      Array.from({ length: 5 }, (_, at) =>
        envelope({
          id: `m-${batch * 5 + at}`,
          channel: CHANNEL,
          body: Buffer.alloc(400, `${batch * 5 + at};`),
        }),
      ),
    );
  }
  const killed = path.join(root, "killed");
  copyStore(live, killed);
  return killed;
}

describe("storage that cannot be trusted", () => {
  it("is refused: a symbolic link, a place others may write, a file, a link in the place of a file", async () => {
    mkdirSync(path.join(root, "target"), { mode: 0o700 });
    symlinkSync(path.join(root, "target"), place);
    expect(await codeOf(opened())).toBe("UNSAFE_STORAGE");
    expect(readdirSync(path.join(root, "target"))).toEqual([]);
    rmSync(place);
    mkdirSync(place);
    chmodSync(place, 0o777);
    expect(await codeOf(opened())).toBe("UNSAFE_STORAGE");
    rmSync(place, { recursive: true });
    writeFileSync(place, "");
    expect(await codeOf(opened())).toBe("UNSAFE_STORAGE");
    rmSync(place);
    mkdirSync(place, { mode: 0o700 });
    writeFileSync(path.join(root, "victim"), "keep me");
    symlinkSync(path.join(root, "victim"), path.join(place, "herald.db"));
    expect(await codeOf(opened())).toBe("UNSAFE_STORAGE");
    expect(readFileSync(path.join(root, "victim"), "utf8")).toBe("keep me");
  });

  it.runIf(isRoot)("is refused when it belongs to another user, also to root", async () => {
    mkdirSync(place, { mode: 0o700 });
    chownSync(place, 1000, 1000);
    expect(await codeOf(opened())).toBe("UNSAFE_STORAGE");
  });

  it("never comes from a channel's name: hostile names are refused and make no file", async () => {
    const broker = await opened();
    for (const channel of [
      "../../etc/passwd",
      "..\\x",
      "a/../b",
      "/etc/passwd",
      "~",
      "C:\\con",
      ".",
      "",
      "a\0b",
      "a\uff0fb",
    ])
      expect(await codeOf(broker.publish([envelope({ channel })])), channel).toBe("INVALID_CHANNEL");
    await publish(broker, "good");
    expect(readdirSync(root)).toEqual(["messages"]);
    expect(readdirSync(place).filter((name) => !/^herald\.(bell|db(-wal|-shm)?)$/.test(name))).toEqual([]);
  });
});

describe("storage that is damaged at rest", () => {
  it("never gives a changed message, and never leaves one out in silence, wherever a bit is turned", async () => {
    const killed = await killedStore();
    const random = seededRandom(7);
    const seen = { refused: 0, told: 0, whole: 0 };
    for (let round = 0; round < 60; round += 1) {
      copyStore(killed, place, round % 4 < 2);
      const file = path.join(place, round % 2 === 1 ? "herald.db" : "herald.db-wal");
      const size = readFileSync(file).length;
      flipBits(file, randomInt(random, size), 1 << randomInt(random, 8));
      const told: string[] = [];
      const note = (event: unknown): void =>
        void told.push((event as { error: { code: string } }).error.code);
      EVENTS.dataLost.subscribe(note);
      EVENTS.fault.subscribe(note);
      const broker = new FileBroker({ directory: place });
      const bodies = new Map<string, Buffer>();
      try {
        await broker.open();
        for (const { envelope: found } of await broker.admin.browse(CHANNEL, { limit: 1000 }))
          bodies.set(found.id, Buffer.from(found.body));
      } catch (error) {
        expect((error as { code: string }).code).toBe("STORAGE_CORRUPT");
        told.push("STORAGE_CORRUPT");
        seen.refused += 1;
      } finally {
        await broker.close();
        EVENTS.dataLost.unsubscribe(note);
        EVENTS.fault.unsubscribe(note);
      }
      for (const [id, body] of bodies)
        expect(body.equals(Buffer.alloc(400, `${id.slice(2)};`)), id).toBe(true);
      if (bodies.size === 60) seen.whole += 1;
      else expect(told, `round ${round}: ${bodies.size} messages`).not.toEqual([]);
      if (told.length > 0) seen.told += 1;
    }
    expect(seen.refused).toBeGreaterThan(15);
  });

  it("names the damaged frame, keeps a copy, and opens after a repair with everything there", async () => {
    const killed = await killedStore();
    copyStore(killed, place);
    flipBits(path.join(place, "herald.db-wal"), 32 + 4120 * 9 + 701, 2);
    await expect(new FileBroker({ directory: place }).open()).rejects.toThrow(
      /damaged in frame 10 at byte 37112/,
    );
    expect(existsSync(path.join(place, "herald.db.damaged-1-wal"))).toBe(true);
    execFileSync(process.execPath, ["src/cli/main.ts", "doctor", "--repair", "--url", `file:${place}`], {
      cwd: path.resolve(import.meta.dirname, "../.."),
    });
    const broker = await opened();
    expect(await broker.admin.browse(CHANNEL, { limit: 1000 })).toHaveLength(60);
    expect(await codeOf(publish(broker, "m-60"))).toBe("none");
  });

  it("is told when a crash has left a tail, and everything before is there", async () => {
    const killed = await killedStore();
    copyStore(killed, place, false);
    const wal = path.join(place, "herald.db-wal");
    truncateSync(wal, readFileSync(wal).length - 100);
    const told: string[] = [];
    const note = (event: unknown): void => void told.push((event as { error: { code: string } }).error.code);
    EVENTS.fault.subscribe(note);
    const broker = await opened();
    expect(await broker.admin.browse(CHANNEL, { limit: 1000 })).toHaveLength(55);
    EVENTS.fault.unsubscribe(note);
    expect(told).toEqual(["TAIL_REPAIRED"]);
  });
});

describe("a foreign hand on the files", () => {
  it("that removes the folder gets STORAGE_GONE, for what is written and what is read, and nothing is made anew", async () => {
    const broker = await opened();
    await publish(broker, "m-0");
    rmSync(place, { recursive: true });
    await until(async () => (await codeOf(publish(broker, "m-1"))) === "STORAGE_GONE");
    expect(existsSync(place)).toBe(false);
    expect(await codeOf(publish(broker, "m-2"))).toBe("STORAGE_GONE");
  });

  it("that puts another folder in its place gets STORAGE_GONE as well", async () => {
    const broker = await opened();
    await publish(broker, "m-0");
    renameSync(place, path.join(root, "away"));
    mkdirSync(place, { mode: 0o700 });
    await until(async () => (await codeOf(publish(broker, "m-1"))) === "STORAGE_GONE");
  });

  it("that writes garbage over the database or cuts it is found when it is opened", async () => {
    const broker = await opened();
    for (let at = 0; at < 20; at += 1) await publish(broker, `m-${at}`, Buffer.alloc(4000, "x"));
    await broker.close();
    const good = readFileSync(path.join(place, "herald.db"));
    writeFileSync(path.join(place, "herald.db"), Buffer.alloc(good.length, "garbage "));
    expect(await codeOf(opened())).toBe("STORAGE_CORRUPT");
    writeFileSync(path.join(place, "herald.db"), good.subarray(0, good.length - 3 * 4096));
    expect(await codeOf(opened())).toBe("STORAGE_CORRUPT");
    writeFileSync(path.join(place, "herald.db"), good);
    expect(await (await opened()).admin.browse(CHANNEL, { limit: 100 })).toHaveLength(20);
  });

  it("that holds the lock for ever is named by its process, and nothing is lost when it lets go", async () => {
    const broker = await opened();
    await publish(broker, "m-0");
    const pid = await foreign(`const { DatabaseSync } = require("node:sqlite");
      const sql = new DatabaseSync(${JSON.stringify(path.join(place, "herald.db"))}); sql.exec("BEGIN IMMEDIATE");
      console.log("held"); setInterval(() => sql, 1000);`);
    const [result] = (await publish(broker, "m-1")) as {
      ok: boolean;
      error: { code: string; message: string };
    }[];
    expect(result).toMatchObject({ ok: false, error: { code: "TIMEOUT", retryable: true } });
    expect(result?.error.message).toContain(`is held by process ${pid}`);
    const ended = new Promise((resolve) => child?.once("exit", resolve));
    child?.kill("SIGKILL");
    await ended;
    expect(await codeOf(publish(broker, "m-2"))).toBe("none");
    const found = await broker.admin.browse(CHANNEL, { limit: 10 });
    expect(found.map(({ envelope: { id } }) => id)).toEqual(["m-0", "m-2"]);
  });
});

describe("a full disk", () => {
  const reason = hasMounts ? "" : " [skipped: mounting a small disk needs root and unshare]";
  it.runIf(hasMounts)(
    `is STORAGE_FULL, heals without a restart and loses nothing acknowledged${reason}`,
    () => {
      const disk = mkdtempSync(path.join(tmpdir(), "herald-disk-"));
      const script = path.resolve(import.meta.dirname, "../support/child-full-disk.ts");
      const command = `mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" "$3" "$1"`;
      const answer = execFileSync(
        "unshare",
        ["-m", "sh", "-c", command, "sh", disk, process.execPath, script],
        {
          encoding: "utf8",
        },
      );
      rmdirSync(disk);
      const { whenFull, settledWhenFull, ...rest } = JSON.parse(answer) as Record<string, unknown>;
      expect(whenFull).toBeGreaterThan(50);
      expect(["settled", "STORAGE_FULL"]).toContain(settledWhenFull);
      expect(rest).toEqual({
        refusals: ["STORAGE_FULL"],
        settledAfter: "settled",
        healed: true,
        lost: [],
        invented: [],
      });
    },
  );
});
