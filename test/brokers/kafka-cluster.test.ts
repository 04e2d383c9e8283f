import { afterEach, expect, it } from "vitest";
import { newPlace } from "../../src/testing/conformance/context.ts";
import type { Envelope } from "../../src/core/envelope.ts";
import { envelope } from "../support/envelopes.ts";
import { IMPATIENT, KafkaBench } from "../support/kafka.ts";
import { ack, idsOf, take, until } from "../support/taking.ts";
import { startKafkaCluster } from "../support/servers/kafka-cluster.ts";
import type { TestKafka } from "../support/servers/kafka.ts";
import { whenStarted } from "../support/servers/when.ts";

const spec = { pattern: "c", group: "g", prefetch: 100 };
const json = (init: Partial<Envelope>) =>
  envelope({ time: Date.now(), body: Buffer.from('{"total":12}'), ...init });

whenStarted("kafka", "a Kafka broker on a cluster", () => {
  const bench = new KafkaBench(IMPATIENT);
  afterEach(() => bench.cleanUp());

  it("goes on when one node of three is killed, and loses nothing", async () => {
    const cluster = await startKafkaCluster();
    bench.after(() => cluster.stop());
    const hosts = cluster.nodes.map(hostOf).join(",");
    const broker = bench.made({ url: `kafka://${hosts}`, partitions: 3, publishTimeoutMs: 60_000 });
    expect(await broker.open()).toMatchObject({ durability: "os" });
    const subscription = await broker.subscribe({ ...spec, prefetch: 1000 });
    const acknowledged = new Set<string>();
    const received = new Set<string>();
    let isOver = false;
    const publishing = (async () => {
      for (let n = 0; !isOver; n++) {
        const [result] = await broker.publish([json({ id: `m${n}`, channel: "c", key: `k${n % 9}` })]);
        if (result?.ok === true) acknowledged.add(`m${n}`);
      }
    })();
    const reading = (async () => {
      while (!isOver || [...acknowledged].some((id) => !received.has(id))) {
        const deliveries = await subscription.receive(100, 50).catch(() => []);
        for (const delivery of deliveries) received.add(delivery.envelope.id);
        await ack(subscription, deliveries).catch(() => undefined);
      }
    })();
    await until(() => received.size > 50);

    for (const node of cluster.nodes.slice(0, 2)) {
      await node.kill();
      const before = received.size;
      await until(() => received.size > before + 50);
      await node.start();
    }

    isOver = true;
    await publishing;
    await reading;
    expect(acknowledged.size).toBeGreaterThan(150);
  });

  it("reads a partition that had no leader when it was found, where ids are recognised", async () => {
    const cluster = await startKafkaCluster();
    bench.after(() => cluster.stop());
    const hosts = cluster.nodes.map(hostOf).join(",");
    const options = { url: `kafka://${hosts}`, namespace: newPlace(), publishTimeoutMs: 60_000 };
    await bench.opened(options);
    // Every partition of the channel lies on one node alone.
    const writer = await bench.opened({ ...options, partitions: 3, replication: 1 });
    const sent = Array.from({ length: 30 }, (_none, n) => json({ id: `m${n}`, channel: "c", key: `k${n}` }));
    await writer.publish(sent, { dedupe: true });
    const [node] = cluster.nodes as [TestKafka];
    await node.kill();

    const reader = await bench.opened(options);
    const subscription = await reader.subscribe({ ...spec, from: "earliest" });
    const before = await take(subscription, 1);
    await node.start();

    const taken = [...before, ...(await take(subscription, sent.length - 1))];
    expect(idsOf(taken).toSorted()).toEqual(sent.map(({ id }) => id).toSorted());
  });
});

function hostOf({ address }: TestKafka): string {
  return `${address.host}:${address.port}`;
}
