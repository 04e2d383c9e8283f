import { once } from "node:events";
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { rebuild } from "../../src/brokers/file/storage/rebuild.ts";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import { paused } from "../support/child-stores.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { createStore, scratchFolder } from "../support/file-store.ts";
import { runChild } from "../support/killed.ts";

let folder: string;
let directory: string;

beforeEach(() => {
  folder = scratchFolder("events");
  directory = path.join(folder, "store");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function over<T>(place: string, run: (store: EventStore) => Promise<T>): Promise<T> {
  const broker = new FileBroker({ directory: place });
  await broker.open();
  try {
    return await run(new EventStore(broker));
  } finally {
    await broker.close();
  }
}

const three = [1, 2, 3].map((n) => ({ type: "Said", data: { n } }));

describe("event streams in a file broker's folder", () => {
  it("are rows that sqlite3 shows, and the first one that somebody changes there is named", async () => {
    await over(directory, (store) => store.append("a.b", three));
    const sql = new DatabaseSync(path.join(directory, "herald.db"));

    expect(sql.prepare("SELECT stream, version, type, data FROM event_tail").all()).toMatchObject(
      [1, 2, 3].map((n) => ({ stream: "a.b", version: n, type: "Said", data: `{"n":${n}}` })),
    );
    sql.exec("UPDATE events SET body = replace(body, '\"n\":2', '\"n\":7') WHERE version = 2");
    expect(await over(directory, (store) => store.verify("a.b"))).toEqual({
      ok: false,
      version: 2,
      reason: "changed",
    });
    sql.exec("UPDATE events SET body = replace(body, '\"n\":7', '\"n\":2') WHERE version = 2");
    sql.exec("DELETE FROM events WHERE version = 3");
    expect(await over(directory, (store) => store.verify("a.b"))).toEqual({
      ok: false,
      version: 3,
      reason: "missing",
    });
    sql.close();
  });

  it("come along when a damaged store is rebuilt", async () => {
    const noted = await over(directory, (store) => store.append("a.b", three));
    await over(directory, ({ stores }) => stores.values.put("space", "key", "value"));
    const other = path.join(folder, "rebuilt");
    createStore(other).sql.close();
    rmSync(path.join(other, "herald.db"));

    expect(rebuild(path.join(directory, "herald.db"), path.join(other, "herald.db")).incomplete).toEqual([]);

    expect(await over(other, (store) => store.verify("a.b", noted))).toEqual({ ok: true, ...noted });
    expect(await over(other, ({ stores }) => stores.values.get("space", "key"))).toMatchObject({
      value: "value",
    });
  });

  it("are there in a store that was made before there were any", async () => {
    const { sql } = createStore(directory);
    sql.exec("DROP VIEW event_tail; DROP TABLE events; DROP TABLE streams; DROP TABLE kept_values");
    sql.close();

    expect(await over(directory, (store) => store.append("a", three))).toMatchObject({ version: 3 });
  });

  it("are told of when another process has appended to them", async () => {
    const broker = new FileBroker({ directory });
    await broker.open();
    const store = new EventStore(broker, { clock: new FakeClock() });
    const versions: number[] = [];
    const reading = (async () => {
      for await (const { version } of store.subscribe("account.1")) if (versions.push(version) >= 300) return;
    })();

    await runChild({ what: "append", place: { directory } }, () => (versions.length >= 300 ? 0 : undefined));
    await reading;

    expect(versions).toEqual(Array.from({ length: 300 }, (_none, at) => at + 1));
    await broker.close();
  });

  it("are refused with the broker's own code while it is not open", async () => {
    const broker = new FileBroker({ directory });
    const store = new EventStore(broker);

    await expect(store.append("a", three)).rejects.toMatchObject({ code: "CLOSED" });
    await broker.open();
    await store.append("a", three);
    await broker.close();
    await expect(store.append("a", three)).rejects.toMatchObject({ code: "CLOSED" });
  });
});

it("lets a process that was stopped in the middle of a saga write nothing when it goes on", async () => {
  const order = { what: "paused", place: { directory } };
  const child = spawn(
    process.execPath,
    [path.resolve("test/support/child-stores.ts"), JSON.stringify(order)],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  try {
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    await expect.poll(() => said).toContain("begun\n");
    child.kill("SIGSTOP");
    const broker = new FileBroker({ directory });
    await broker.open();
    const saga = paused(broker.createStores(), async () => ({ by: "the other" }));
    saga.start();
    await expect.poll(async () => (await saga.get("one"))?.status).toBe("completed");
    const version = await new EventStore(broker).version("saga.paused.one");

    child.kill("SIGCONT");
    await once(child, "close");

    expect(said).toContain("CONFLICT");
    expect((await saga.get("one"))?.data).toEqual({ by: "the other" });
    expect(await new EventStore(broker).version("saga.paused.one")).toBe(version);
    await saga.stop();
    await broker.close();
  } finally {
    child.kill("SIGKILL");
  }
});
