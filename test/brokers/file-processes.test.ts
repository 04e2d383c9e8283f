import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import type { Subscription } from "../../src/core/broker.ts";
import { envelope } from "../support/envelopes.ts";
import { FilePeer } from "../support/file-peer.ts";

const SPEC = { pattern: "c", group: "g", prefetch: 100 };
let directory: string;
let broker: FileBroker;

beforeEach(() => {
  directory = path.join(mkdtempSync(path.join(tmpdir(), "herald-processes-")), "store");
});

afterEach(async () => {
  await broker.close();
  await FilePeer.endAll();
  rmSync(path.dirname(directory), { recursive: true });
});

async function open(leaseMs = 30_000): Promise<FileBroker> {
  broker = new FileBroker({ directory, leaseMs });
  await broker.open();
  return broker;
}

async function reading(leaseMs?: number): Promise<{ peer: FilePeer; here: Subscription }> {
  const here = await (await open(leaseMs)).subscribe(SPEC);
  const peer = await FilePeer.start(directory, leaseMs);
  await peer.tell({ op: "subscribe", spec: SPEC });
  return { peer, here };
}

const publish = (...ids: string[]) => broker.publish(ids.map((id) => envelope({ id })));
const ack = (deliveries: Awaited<ReturnType<Subscription["receive"]>>) =>
  deliveries.map((delivery) => ({ kind: "ack", delivery }) as const);

describe("two processes on one folder", () => {
  it("share the messages of a group: none is handed out to both, and none to nobody", async () => {
    const { peer, here } = await reading();
    const all = Array.from({ length: 300 }, (_none, at) => `m${at}`);
    await publish(...all);
    const seen: string[] = [];
    const shares = [0, 0];
    while (seen.length < all.length) {
      const mine = await here.receive(20, 0);
      await here.settle(ack(mine));
      const theirs = await peer.receive(20, 0);
      await peer.tell({ op: "settle", kind: "ack", ids: theirs.map(([id]) => id) });
      shares[0] = (shares[0] ?? 0) + mine.length;
      shares[1] = (shares[1] ?? 0) + theirs.length;
      seen.push(...mine.map((delivery) => delivery.envelope.id), ...theirs.map(([id]) => id));
    }

    expect(seen.toSorted()).toEqual(all.toSorted());
    expect(Math.min(...shares)).toBeGreaterThan(0);
    expect((await broker.inspect()).channels[0]?.groups).toEqual([{ group: "g", lag: 0, unsettled: 0 }]);
  });

  it("wake each other for what is published, given back and freed", async () => {
    const { peer, here } = await reading();
    const first = peer.receive(1, 5000);
    await publish("a");
    expect(await first).toEqual([["a", 1]]);

    const waiting = here.receive(1, 5000);
    await peer.tell({ op: "settle", kind: "nack", ids: ["a"] });
    const [again] = await waiting;
    expect([again?.envelope.id, again?.attempt]).toEqual(["a", 2]);

    await broker.publish(["k1", "k2"].map((id) => envelope({ id, key: "k" })));
    const [k1] = await here.receive(1, 5000);
    expect(k1?.envelope.id).toBe("k1");
    const next = peer.receive(1, 5000);
    await here.settle(ack([k1!]));
    expect(await next).toEqual([["k2", 1]]);
  });

  it("hand on at once what a killed process held, as the next attempt, and what it never had as the first", async () => {
    const { peer, here } = await reading();
    await publish("a", "b", "c");
    expect(await peer.receive(2, 5000)).toEqual([
      ["a", 1],
      ["b", 1],
    ]);
    await peer.tell({ op: "settle", kind: "ack", ids: ["a"] });
    await peer.kill();

    const got: [string, number][] = [];
    while (got.length < 2)
      for (const {
        envelope: { id },
        attempt,
      } of await here.receive(10, 5000))
        got.push([id, attempt]);
    expect(got.toSorted()).toEqual([
      ["b", 2],
      ["c", 1],
    ]);
  });

  it("fence a process that slept through its lease: what it settles when it wakes changes nothing", async () => {
    const leaseMs = 400;
    const { peer, here } = await reading(leaseMs);
    await publish("a");
    expect(await peer.receive(1, 5000)).toEqual([["a", 1]]);
    peer.signal("SIGSTOP");
    const [taken] = await here.receive(1, 10_000);
    expect([taken?.envelope.id, taken?.attempt]).toEqual(["a", 2]);
    peer.signal("SIGCONT");
    await peer.tell({ op: "settle", kind: "ack", ids: ["a"] });

    expect((await broker.inspect()).channels[0]?.groups).toEqual([{ group: "g", lag: 1, unsettled: 1 }]);
    await here.settle([{ kind: "nack", delivery: taken!, delayMs: 0 }]);
    expect((await here.receive(1, 5000))[0]?.attempt).toBe(3);
  });

  it("know an id that either has published, also after both have ended", async () => {
    await open();
    const peer = await FilePeer.start(directory);
    const here = await broker.publish([envelope({ id: "a" })], { dedupe: true });
    expect(here[0]).toMatchObject({ ok: true, deduplicated: false });
    expect(await peer.tell({ op: "publish", ids: ["a", "b"], dedupe: true })).toEqual(["known", "stored"]);
    await peer.kill();
    await broker.close();
    await open();

    const later = await broker.publish([envelope({ id: "b" })], { dedupe: true });
    expect(later[0]).toMatchObject({ ok: true, deduplicated: true });
  });

  it("give every broadcast its copy, and forget that of a killed process", async () => {
    await open();
    const peer = await FilePeer.start(directory);
    await peer.tell({ op: "subscribe", spec: { ...SPEC, group: null } });
    const here = await broker.subscribe({ ...SPEC, group: null });
    const [both] = await publish("a");
    expect(both).toMatchObject({ matched: 2 });
    expect(await peer.receive(1, 5000)).toEqual([["a", 1]]);
    expect((await here.receive(1, 5000))[0]?.envelope.id).toBe("a");
    await peer.kill();

    await expect.poll(async () => (await publish("b"))[0]).toMatchObject({ matched: 1 });
  });

  it("keep what one publishes for the other until that is back", async () => {
    const { peer } = await reading();
    await broker.close();
    await peer.tell({ op: "publish", ids: ["a", "b"] });
    await peer.kill();
    const back = await (await open()).subscribe(SPEC);

    expect((await back.receive(10, 5000)).map((delivery) => delivery.envelope.id)).toEqual(["a", "b"]);
  });
});

describe("a process", () => {
  it.runIf(process.platform === "linux")(
    "has four files of a store open, however many brokers and subscriptions it has",
    async () => {
      await open();
      const second = new FileBroker({ directory });
      await second.open();
      for (let at = 0; at < 200; at++)
        await (at % 2 === 0 ? broker : second).subscribe({ pattern: `c${at}.#`, group: "g", prefetch: 1 });
      const links = readdirSync("/proc/self/fd").flatMap((name) => {
        try {
          return readlinkSync(`/proc/self/fd/${name}`);
        } catch {
          return [];
        }
      });
      const files = links.filter((link) => link.startsWith(directory));
      await second.close();

      expect(files.toSorted()).toEqual(
        ["herald.bell", "herald.db", "herald.db-shm", "herald.db-wal"].map((name) =>
          path.join(directory, name),
        ),
      );
    },
  );
});
