import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { envelope } from "../support/envelopes.ts";
import { NatsBench } from "../support/nats.ts";
import { BUSY_MS, ack, idsOf, take, until } from "../support/taking.ts";
import { whenStarted } from "../support/servers/when.ts";

const spec = { pattern: "c", group: "g", prefetch: 100 };
const now = (init: Parameters<typeof envelope>[0] = {}) =>
  envelope({ time: Date.now(), channel: "c", ...init });

whenStarted("nats", "a NATS broker", () => {
  const bench = new NatsBench();
  beforeAll(() => bench.start());
  afterAll(() => bench.stop());
  afterEach(() => bench.cleanUp());

  describe("where two patterns of a group cover a channel", () => {
    it("hands out once, over several processes too, and by whoever reads", async () => {
      const namespace = newPlace();
      const [one, other] = [
        await bench.opened({ namespace }),
        await bench.opened({ namespace, connectTimeoutMs: 4999 }),
      ];
      const first = await one.subscribe({ ...spec, pattern: "a.*" });
      const second = await other.subscribe({ ...spec, pattern: "a.b" });
      const held = first.receive(1, 10_000);
      await one.publish([now({ id: "m0", channel: "a.b" })]);
      expect(idsOf(await held)).toEqual(["m0"]);
      expect(await second.receive(1, 100)).toEqual([]);

      // Nobody reads the older one any more: the younger one does not let go of what it gets.
      await ack(first, await held);
      await one.close();
      const got: string[] = [];
      let n = 1;
      await until(async () => {
        await other.publish([now({ id: `m${n++}`, channel: "a.b" })]);
        got.push(...idsOf(await second.receive(10, 100)));
        return got.length > 0;
      });
    });
  });

  describe("beside other programs", () => {
    it("is read and written with the client alone", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe({ ...spec, pattern: "orders.#" });
      const connection = await bench.raw();
      const seen = connection.subscribe(`${namespace}.orders.>`, { max: 1 });
      await connection.flush();
      await broker.publish([now({ id: "o1", channel: "orders.created", headers: { "x-a": "1" } })]);
      for await (const message of seen) {
        expect(message.subject).toBe(`${namespace}.orders.created`);
        expect(message.headers?.get("ce-id")).toBe("o1");
        expect(message.headers?.get("x-a")).toBe("1");
      }
      const head = headers();
      head.set("ce-priority", "many");
      const stored = await jetstream(connection).publish(`${namespace}.orders.by.hand`, "{}", {
        headers: head,
      });

      const got = await take(subscription, 2);
      expect(got[1]).toMatchObject({
        position: String(stored.seq),
        envelope: {
          id: `nats-${stored.seq}`,
          channel: "orders.by.hand",
          source: "external",
          headers: { "x-malformed-priority": "many" },
        },
      });
    });

    it("carries headers that the protocol cannot", async () => {
      const broker = await bench.opened();
      const subscription = await broker.subscribe(spec);
      const odd = {
        " a": "b",
        "x-line": "1\r\nNats-Msg-Id: 2",
        "nats-x": "y",
        "ce-id": "z",
        empty: "",
        "sp ace": " in ",
      };
      await broker.publish([now({ id: "odd", source: "grün 100%", headers: odd })]);
      const [got] = await take(subscription, 1);
      expect(got?.envelope).toMatchObject({ id: "odd", source: "grün 100%" });
      expect({ ...got?.envelope.headers }).toEqual(odd);
    });

    it("waits inside the server for what is due late, and brings it on time", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const subscription = await broker.subscribe(spec);
      const deliverAt = Date.now() + 6000;
      await broker.publish([now({ id: "late", deliverAt }), now({ id: "soon" })]);
      const manager = await jetstreamManager(await bench.raw());
      const { state } = await manager.streams.info(namespace, { subjects_filter: `${namespace}~delay.*` });
      expect(Object.keys(state.subjects ?? {})).toHaveLength(1);
      const [soon] = await take(subscription, 1);
      expect(soon?.envelope.id).toBe("soon");
      await ack(subscription, [soon!]);

      const [late] = await subscription.receive(1, 15_000);
      expect(late).toMatchObject({ attempt: 1, envelope: { id: "late" } });
      expect(Date.now() - deliverAt).toBeGreaterThanOrEqual(0);
      expect(Date.now() - deliverAt).toBeLessThan(1500 + BUSY_MS);
    });

    it("lets go of what every group has acknowledged, and of nothing else", async () => {
      const broker = await bench.opened({ retentionMs: 300 });
      const reads = await broker.subscribe(spec);
      const away = await broker.subscribe({ ...spec, pattern: "kept" });
      await broker.publish([now({ id: "gone" }), now({ id: "kept", channel: "kept" })]);
      await ack(reads, await take(reads, 1));

      await until(async () => (await broker.admin.browse("c", { limit: 1 })).length === 0);
      expect(idsOf(await take(away, 1))).toEqual(["kept"]);
    });
  });
});
