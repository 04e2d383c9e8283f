import { Admin } from "@platformatic/kafka";
import { describe, expect, it } from "vitest";
import type { KafkaBroker } from "../../src/brokers/kafka/broker.ts";
import type { Subscription } from "../../src/core/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { envelope } from "../support/envelopes.ts";
import { kafkaBench } from "../support/kafka.ts";
import { ack, take, until } from "../support/taking.ts";
import { whenStarted } from "../support/servers/when.ts";

const AGENTS = 2000;
const inboxOf = (agent: number) => `agent-${agent}`;
const ids = (deliveries: readonly { readonly envelope: { readonly id: string } }[]) =>
  deliveries.map(({ envelope: { id } }) => id);
const message = (channel: string, id: string) => envelope({ id, channel, time: Date.now() });

whenStarted("kafka", "a Kafka broker and the inboxes of many agents", () => {
  const bench = kafkaBench();

  /** Each agent subscribes to its own inbox. */
  const listening = (broker: KafkaBroker, agents: readonly number[]): Promise<Subscription[]> =>
    Promise.all(
      agents.map((agent) =>
        broker.subscribe({ pattern: inboxOf(agent), group: inboxOf(agent), prefetch: 10 }),
      ),
    );

  const topicsOf = async (namespace: string) => {
    const { host, port } = bench.server.address;
    const admin = new Admin({ clientId: "raw", bootstrapBrokers: [`${host}:${port}`] });
    bench.after(() => admin.close());
    const topics = await admin.listTopics();
    return topics.filter((topic) => topic.startsWith(`${namespace}.`)).toSorted();
  };

  describe(`of ${AGENTS}`, () => {
    const everybody = Array.from({ length: AGENTS }, (_none, n) => n);

    it("keeps them in one topic, and gives each agent its own messages and no others", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace, publishTimeoutMs: 20_000 });
      const elsewhere = await bench.opened({ namespace, publishTimeoutMs: 20_000 });
      const inboxes = await listening(broker, everybody);
      const two = (agent: number) => [`${agent}-first`, `${agent}-second`];

      const sent = everybody.flatMap((agent) => two(agent).map((id) => message(inboxOf(agent), id)));
      const results = await elsewhere.publish(sent);

      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      for (const agent of everybody) {
        const subscription = inboxes[agent] as Subscription;
        const deliveries = await take(subscription, 2);
        expect(ids(deliveries)).toEqual(two(agent));
        await ack(subscription, deliveries);
      }
      const more = await Promise.all(inboxes.map((subscription) => subscription.receive(10, 0)));
      expect(more.flat()).toEqual([]);
      expect(await topicsOf(namespace)).toEqual([`${namespace}.--directory`, `${namespace}.--shared`]);
    });

    it("says how all of them stand without counting through their topic, and of one that is named exactly", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace, publishTimeoutMs: 20_000 });
      const inboxes = await listening(broker, everybody);
      await broker.publish(["a", "b", "c"].map((id) => message(inboxOf(7), id)));
      await take(inboxes[7] as Subscription, 3).then(([first]) => ack(inboxes[7] as Subscription, [first!]));

      const all = await broker.inspect();
      const one = await broker.inspect({ channels: [inboxOf(7)] });

      expect(all.channels).toHaveLength(AGENTS);
      const lagOf = (channel: string) => all.channels.find((report) => report.channel === channel)?.groups;
      expect(lagOf(inboxOf(7))).toEqual([{ group: inboxOf(7), lag: 2, unsettled: 2 }]);
      expect(lagOf(inboxOf(8))).toEqual([{ group: inboxOf(8), lag: 0, unsettled: 0 }]);
      expect(one.channels).toEqual([
        { channel: inboxOf(7), depth: 3, groups: [{ group: inboxOf(7), lag: 2, unsettled: 2 }] },
      ]);
    });

    it("lets a group that watches them all begin at its beginning, whichever inbox it is", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace, publishTimeoutMs: 20_000 });
      await Promise.all(everybody.map((agent) => broker.admin.declare(inboxOf(agent))));
      await broker.publish(everybody.map((agent) => message(inboxOf(agent), `before-${agent}`)));

      const watching = await broker.subscribe({ pattern: "agent-*", group: "audit", prefetch: 5000 });
      await broker.publish([3, 1999].map((agent) => message(inboxOf(agent), `after-${agent}`)));
      await broker.publish([message(inboxOf(AGENTS), "of a new one")]);

      const seen = await take(watching, 3);
      expect(ids(seen).toSorted()).toEqual(["after-1999", "after-3", "of a new one"]);
      expect(await watching.receive(10, 200)).toEqual([]);
    });
  });

  it("keeps what comes for an agent that is away until it is back, in whichever process", async () => {
    const namespace = newPlace();
    const here = await bench.opened({ namespace });
    const there = await bench.opened({ namespace });
    const [inbox] = await listening(here, [1]);
    await here.publish([message(inboxOf(1), "handled")]);
    await ack(inbox!, await take(inbox!, 1));
    await inbox!.close();
    await here.publish(["one", "two"].map((id) => message(inboxOf(1), id)));

    const [again] = await listening(there, [1]);

    expect(ids(await take(again!, 2))).toEqual(["one", "two"]);
  });

  it("gives two processes the inboxes of their own agents, and to one of them what comes for an agent that both run", async () => {
    const namespace = newPlace();
    const brokers = [await bench.opened({ namespace }), await bench.opened({ namespace })] as const;
    const own = [await listening(brokers[0], [0, 1, 2, 3]), await listening(brokers[1], [4, 5, 6, 7])].flat();
    const replicas = await Promise.all(brokers.map((broker) => listening(broker, [8])));
    const got = new Map<string, string[]>();
    const drain = async (subscription: Subscription, name: string) => {
      const deliveries = await subscription.receive(10, 20);
      got.set(name, [...(got.get(name) ?? []), ...ids(deliveries)]);
      await ack(subscription, deliveries);
    };

    await brokers[0].publish(
      [0, 1, 2, 3, 4, 5, 6, 7, 8].map((agent) => message(inboxOf(agent), `m${agent}`)),
    );

    await until(async () => {
      await Promise.all(own.map((subscription, agent) => drain(subscription, String(agent))));
      await Promise.all(replicas.flat().map((subscription) => drain(subscription, "8")));
      return [...got.values()].flat().length === 9;
    });
    for (let agent = 0; agent <= 8; agent++) expect(got.get(String(agent))).toEqual([`m${agent}`]);
  });

  it("lets processes find each other that have more agents than fit into what Kafka keeps of a group", async () => {
    const each = 8000;
    const namespace = newPlace();
    const names = [0, 1].map(() => Array.from({ length: each }, () => `agent-${crypto.randomUUID()}`));
    const inboxes: Subscription[] = [];
    const brokers: KafkaBroker[] = [];
    for (const agents of names) {
      const broker = await bench.opened({ namespace, publishTimeoutMs: 30_000 });
      brokers.push(broker);
      for (let from = 0; from < each; from += 2000)
        inboxes.push(
          ...(await Promise.all(
            agents
              .slice(from, from + 2000)
              .map((name) => broker.subscribe({ pattern: name, group: name, prefetch: 10 })),
          )),
        );
    }
    const asked = [0, each - 1, each, 2 * each - 1];

    await brokers[0]!.publish(asked.map((at) => message(names.flat()[at]!, `m${at}`)));

    for (const at of asked) expect(ids(await take(inboxes[at]!, 1))).toEqual([`m${at}`]);
  });

  it("empties and reads again one inbox, and leaves those beside it alone", async () => {
    const broker = await bench.opened({ sharedPartitions: 1 });
    const [one, other] = await listening(broker, [1, 2]);
    await broker.publish([1, 2, 1, 2].map((agent, n) => message(inboxOf(agent), `m${n}`)));
    await ack(other!, await take(other!, 2));

    expect(await broker.admin.purge(inboxOf(1))).toBe(2);

    const replay = { pattern: inboxOf(2), group: "again", prefetch: 10, from: "earliest" } as const;
    expect(ids(await take(await broker.subscribe(replay), 2))).toEqual(["m1", "m3"]);
    expect(ids(await broker.admin.browse(inboxOf(1), { limit: 10 }))).toEqual([]);
    await broker.publish([message(inboxOf(1), "later")]);
    const [next] = await take(one!, 1);
    expect(next?.envelope.id).toBe("later");
  });
});
