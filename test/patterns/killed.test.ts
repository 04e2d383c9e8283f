import { existsSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { EventStore } from "../../src/patterns/events/event-store.ts";
import { ledger, storesAt } from "../support/child-stores.ts";
import { scratchFolder } from "../support/file-store.ts";
import { crashRuns, runChild, type Deadline } from "../support/killed.ts";
import { killAndGoOn, killPoints } from "../support/saga-kills.ts";

const RUNS = crashRuns();

/** What a child has done at least when it is killed: so many lines said, however slow the machine is. */
function afterLines(least: number, most: number): Deadline {
  const last = least + Math.floor(Math.random() * (most - least));
  return (_line, count) => (count === last ? Math.random() * 5 : undefined);
}

const folders: string[] = [];

function folder(): string {
  const made = scratchFolder("killed");
  folders.push(made);
  return made;
}

afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true });
});

describe("a saga on file whose process is killed", () => {
  it.each([...killPoints(false), ...killPoints(true)])(
    "$side its write $at (undone: $isDoomed) is gone on with, each effect once",
    async (point) => {
      for (let run = 0; run < RUNS; run++) await killAndGoOn({ directory: folder() }, point);
    },
  );
});

describe("an event store on file whose process is killed while it appends", () => {
  it("has everything that was acknowledged, unbroken, five times in a row", async () => {
    const place = { directory: folder() };
    const acknowledged = new Map<string, { version: number; hash: string }>();
    for (let kill = 0; kill < 5 * RUNS; kill++) {
      const { lines, signal } = await runChild({ what: "append", place }, afterLines(15, 200));
      expect(signal).toBe("SIGKILL");
      for (const line of lines.filter((said) => said !== "ready")) {
        const [stream = "", version, hash = ""] = line.split(" ");
        acknowledged.set(stream, { version: Number(version), hash });
      }
      const { stores, close } = await storesAt(place);
      const store = new EventStore(stores);
      for (const [stream, anchor] of acknowledged)
        expect(await store.verify(stream, anchor)).toMatchObject({ ok: true });
      await close();
    }
    const versions = [...acknowledged.values()].map(({ version }) => version);
    expect(versions).toHaveLength(4);
    expect(Math.min(...versions)).toBeGreaterThan(10);
  });
});

describe("a projection on file whose process is killed", () => {
  it("never has a checkpoint ahead of its effects, and comes to what a replay comes to, after 20 crashes", async () => {
    const directory = folder();
    const place = { directory };
    const effects = path.join(directory, "effects.log");
    for (let kill = 0; kill < 20; kill++) {
      const { signal } = await runChild({ what: "project", place, effects }, afterLines(1, 120));
      expect(signal).toBe("SIGKILL");
      const { stores, close } = await storesAt(place);
      const kept = await stores.values.get("projections", "ledger");
      const { checkpoint = {} } = JSON.parse(kept?.value ?? "{}") as { checkpoint?: Record<string, number> };
      const done = new Set(existsSync(effects) ? readFileSync(effects, "utf8").split("\n") : []);
      for (const [stream, version] of Object.entries(checkpoint))
        for (let n = 1; n <= version; n++)
          if (!done.has(`${stream} ${n}`)) throw new Error(`${stream} ${n} is ahead`);
      await close();
    }
    const { stores, close } = await storesAt(place);
    const projection = ledger(stores, effects);
    await projection.catchUp();
    const replayed: Record<string, number> = {};
    const store = new EventStore(stores);
    let events = 0;
    for (const stream of await store.streams("account.*"))
      for await (const { data } of store.read(stream)) {
        events++;
        replayed[stream] = (replayed[stream] ?? 0) + (data as { n: number }).n;
      }

    expect(projection.state).toEqual(replayed);
    expect(events).toBeGreaterThan(1000);
    await close();
  });
});
