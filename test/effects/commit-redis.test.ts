import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { NO_WRITES } from "../../src/core/store.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { envelope } from "../support/envelopes.ts";
import { take } from "../support/taking.ts";
import { startRedisCluster } from "../support/servers/redis-cluster.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";

const ending: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

let server: TestServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

describe("a commit on Redis", () => {
  const written = { space: "s", key: "k", value: "1", token: "t" };
  const writes = { reads: [], values: [written], appends: [] };

  async function world() {
    const namespace = newPlace();
    const broker = new RedisBroker({ url: server.url, namespace, ephemeral: ["live.#"] });
    ending.push(() => broker.close());
    await broker.open();
    const spec = { pattern: "c", group: "g", prefetch: 100 };
    const subscription = await broker.subscribe(spec);
    const out = await broker.subscribe({ ...spec, pattern: "d" });
    await broker.publish([envelope({ id: "one", channel: "c" })]);
    const [delivery] = await take(subscription, 1);
    const of = delivery as NonNullable<typeof delivery>;
    const base = { delivery: of, inbox: { scope: "g", id: "one" }, envelopes: [envelope({ channel: "d" })] };
    return { namespace, broker, subscription, out, delivery: of, base, values: broker.createStores().values };
  }

  it("is refused for a delivery that was settled, given to another, or is another's, and writes nothing", async () => {
    const { namespace, broker, subscription, out, delivery, base, values } = await world();
    await expect(out.commit?.({ ...base, writes })).rejects.toMatchObject({ code: "CONFLICT" });
    await subscription.settle([{ kind: "nack", delivery, delayMs: 0 }]);
    await expect(subscription.commit?.({ ...base, writes })).rejects.toMatchObject({ code: "CONFLICT" });
    const [again] = await take(subscription, 1);
    await server.command("XGROUP", "DESTROY", `herald:${namespace}:{c}`, "g");
    await expect(
      subscription.commit?.({ ...base, delivery: again as typeof delivery, writes }),
    ).rejects.toMatchObject({ code: "CONFLICT" });

    expect(await values.get("s", "k")).toBeUndefined();
    expect(await out.receive(1, 20)).toEqual([]);
    await broker.close();
    await expect(subscription.commit?.({ ...base, writes })).rejects.toMatchObject({ code: "CLOSED" });
  });

  it("behind a stream or a value that has changed since writes nothing", async () => {
    const { broker, subscription, out, base, values } = await world();
    const { events } = broker.createStores();
    await values.put("s", "read", "1");
    await events.append("stream", 0, [{ body: "{}", hash: "h" }]);
    const append = { stream: "stream", version: 0, events: [{ body: "{}", hash: "x" }] };
    for (const more of [{ reads: [{ space: "s", key: "read", token: null }] }, { appends: [append] }])
      await expect(subscription.commit?.({ ...base, writes: { ...writes, ...more } })).rejects.toMatchObject({
        code: "CONFLICT",
        message: expect.stringContaining("was changed"),
      });
    expect(await values.get("s", "k")).toBeUndefined();
    expect(await out.receive(1, 20)).toEqual([]);

    await subscription.commit?.({ ...base, writes: { ...writes, appends: [{ ...append, version: 1 }] } });
    expect(await values.get("s", "k")).toEqual({ value: "1", token: "t" });
    expect(await events.head("stream")).toEqual({ version: 2, hash: "x" });
    expect((await take(out, 1))[0]?.envelope.channel).toBe("d");
  });

  it("whose answer was lost is found made, and makes nothing twice", async () => {
    const { subscription, out, delivery, base, values } = await world();
    await subscription.commit?.({ ...base, writes });
    Object.assign(delivery, { holder: subscription });
    const second = { ...writes, values: [{ ...written, value: "2" }] };
    await subscription.commit?.({
      ...base,
      envelopes: [envelope({ id: "more", channel: "d" })],
      writes: second,
    });

    expect((await values.get("s", "k"))?.value).toBe("1");
    expect(await take(out, 1)).toHaveLength(1);
    expect(await out.receive(1, 20)).toEqual([]);
  });

  it("to a channel that was deleted makes it again, with those who read it", async () => {
    const { namespace, broker, subscription, out, base } = await world();
    await broker.publish([envelope({ id: "before", channel: "d" })]);
    await subscription.commit?.({ ...base, inbox: { scope: "g", id: "zero" }, envelopes: [], writes });
    await take(out, 1);
    await broker.publish([envelope({ id: "two", channel: "c" })]);
    const [next] = await take(subscription, 1);
    await server.command("DEL", `herald:${namespace}:{d}`);
    await subscription.commit?.({ ...base, delivery: next as typeof base.delivery, writes });

    expect(await take(out, 1)).toHaveLength(1);
  });

  it("tells those who listen to a channel that is not stored", async () => {
    const { broker, subscription, base } = await world();
    const live = await broker.subscribe({ pattern: "live.a", group: null, prefetch: 10 });
    await subscription.commit?.({ ...base, envelopes: [envelope({ id: "x", channel: "live.a" })], writes });

    expect((await take(live, 1))[0]?.envelope.id).toBe("x");
  });

  it("does not exist on a cluster", async () => {
    const cluster = await startRedisCluster();
    ending.push(() => cluster.stop());
    const nodes = cluster.nodes.map(({ address }) => address);
    const broker = new RedisBroker({ url: cluster.nodes[0]?.url ?? "", cluster: { nodes } });
    ending.push(() => broker.close());
    await broker.open();

    expect((await broker.subscribe({ pattern: "c", group: "g", prefetch: 1 })).commit).toBeUndefined();
  });

  it("takes place with others of its turn or not: those that are refused take none of them with them", async () => {
    const { broker, subscription, out, base, values } = await world();
    const ids = Array.from({ length: 40 }, (_, n) => `m${n}`);
    await broker.publish(ids.map((id) => envelope({ id, channel: "c" })));
    const deliveries = await take(subscription, ids.length);
    const settled = deliveries[7] as typeof base.delivery;
    await subscription.settle([{ kind: "ack", delivery: settled }]);
    const stale = { ...NO_WRITES, values: [written], reads: [{ space: "s", key: "k", token: "other" }] };
    const large = new Uint8Array(60_000).fill(97);
    const commits = deliveries.map((delivery, n) => ({
      delivery,
      inbox: { scope: "g", id: delivery.envelope.id },
      envelopes: [envelope({ id: `out ${n}`, channel: "d", ...(n % 10 === 0 ? { body: large } : {}) })],
      writes: n === 9 ? stale : NO_WRITES,
    }));
    const results = await Promise.allSettled(commits.map(async (commit) => subscription.commit?.(commit)));

    const refused = results.flatMap((result, n) => (result.status === "rejected" ? [n] : []));
    expect(refused).toEqual([7, 9]);
    const published = await take(out, 38);
    expect(published.map(({ envelope: { id } }) => id).toSorted()).toEqual(
      ids.flatMap((_, n) => (refused.includes(n) ? [] : [`out ${n}`])).toSorted(),
    );
    expect(published.filter(({ envelope: { body } }) => body.byteLength === 60_000)).toHaveLength(4);
    expect(await values.get("s", "k")).toBeUndefined();
    const inbox = broker.createInbox({});
    expect(await inbox.claim("g", "m7")).toBe("new");
    expect(await inbox.claim("g", "m8")).toBe("done");
    await expect
      .poll(async () => (await broker.inspect({ channels: ["c"] })).channels[0]?.groups)
      .toMatchObject([{ group: "g", unsettled: 2 }]);
  });

  it("that Redis refuses takes none of those along that went with it", async () => {
    const { namespace, broker, subscription, out } = await world();
    const ids = ["a", "b", "c"];
    await broker.publish(ids.map((id) => envelope({ id, channel: "c" })));
    const deliveries = await take(subscription, ids.length);
    await broker.createStores().events.append("broken", 0, [{ body: "{}", hash: "h" }]);
    const keys = (await server.command("KEYS", `herald:${namespace}:*broken*`)) as string[];
    expect(keys).toHaveLength(1);
    await server.command("SET", keys[0] as string, "no stream");
    const append = { stream: "broken", version: 1, events: [{ body: "{}", hash: "h" }] };
    const results = await Promise.allSettled(
      deliveries.map(async (delivery) => {
        const { id } = delivery.envelope;
        const writes = id === "b" ? { ...NO_WRITES, appends: [append] } : NO_WRITES;
        const envelopes = [envelope({ id: `out ${id}`, channel: "d" })];
        await subscription.commit?.({ delivery, inbox: { scope: "g", id }, envelopes, writes });
      }),
    );

    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    const published = await take(out, 2);
    expect(published.map(({ envelope: { id } }) => id).toSorted()).toEqual(["out a", "out c"]);
    expect(await out.receive(1, 20)).toEqual([]);
  });
});
