import { Admin } from "@platformatic/kafka";
import { expect, it } from "vitest";
import { Cluster } from "../../src/brokers/kafka/cluster.ts";
import { loadPackage } from "../../src/brokers/kafka/client.ts";
import { kafkaSettings } from "../../src/brokers/kafka/options.ts";
import { TransactionalProducer } from "../../src/brokers/kafka/transactional-producer.ts";
import type { Broker } from "../../src/core/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { kafkaAt } from "../support/child-kafka.ts";
import { HOPS } from "../support/child-pipeline.ts";
import { envelope } from "../support/envelopes.ts";
import { kafkaBench } from "../support/kafka.ts";
import { readByKcat } from "../support/kcat.ts";
import { afterReady } from "../support/killed.ts";
import { throughPipeline, withinMs } from "../support/pipeline.ts";
import { whenStarted } from "../support/servers/when.ts";
import { take } from "../support/taking.ts";

/** More by hand: HERALD_PIPELINE_MESSAGES=100000 vitest run test/effects/tx-kafka.test.ts */
const MESSAGES = Number(process.env["HERALD_PIPELINE_MESSAGES"] ?? 500);
const WITHIN_MS = withinMs(MESSAGES);
/** Messages that come before each pair of kills. */
const CHUNK = 125;
const once = { guarantee: "exactly-once" } as const;
const nothing = { reads: [], values: [], appends: [] };

whenStarted("kcat", "read by kcat", () => {
  whenStarted("kafka", "what a handler publishes under context.tx on Kafka", () => {
    const bench = kafkaBench();

    function brokerIn(namespace: string): Broker {
      return kafkaAt(namespace, bench.server.address, [], "long");
    }

    async function agent(agentId: string, broker: Broker): Promise<MessagingService> {
      const service = new MessagingService({ agentId, broker, retry: { backoff: { initialDelayMs: 1 } } });
      bench.after(() => service.stop());
      await service.start();
      return service;
    }

    /** Ids of all records of a channel that are committed, repeats among them, as a client reads them that knows nothing of Herald. */
    function committedIn(namespace: string, channel: string): readonly string[] {
      const printed = readByKcat(bench.server.address, `${namespace}.${channel}`, String.raw`%h\n`);
      return printed.match(/(?<=\bce_id=)[^,\n]+/g) ?? [];
    }

    it("takes place with the record that its message was handled, and not at all while it fails", async () => {
      const namespace = newPlace();
      const bank = await agent("bank", brokerIn(namespace));
      const booked: unknown[] = [];
      let runs = 0;
      await bank.subscribe("booked", ({ payload }) => void booked.push(payload));
      await bank.subscribe<number>(
        "payments",
        async ({ payload }, { tx }) => {
          expect(tx).toBeDefined();
          runs++;
          await bank.publish("booked", payload);
          await bank.publish("booked", payload + 1);
          if (runs < 3) throw new Error("not yet");
        },
        once,
      );
      for (const id of ["a", "a"]) await bank.publish("payments", 10, { id, dedupe: false });
      await expect.poll(() => bank.getMetrics()).toMatchObject({ handled: 3, failed: 2, duplicates: 1 });

      expect(runs).toBe(3);
      await expect.poll(() => booked).toEqual([10, 11]);
      expect(committedIn(namespace, "booked")).toHaveLength(2);
    });

    it("holds the answer to a request as well", async () => {
      const namespace = newPlace();
      const bank = await agent("bank", brokerIn(namespace));
      await bank.subscribe<number>(
        "sums",
        async ({ payload }, { tx }) => {
          expect(tx).toBeDefined();
          await bank.publish("booked", payload);
          return payload + 1;
        },
        once,
      );

      expect(await bank.request("sums", 3)).toBe(4);
      expect(committedIn(namespace, "booked")).toHaveLength(1);
    });

    it("is refused where it writes values or events, for Kafka keeps none", async () => {
      const bank = await agent("bank", brokerIn(newPlace()));
      const handlers: Parameters<typeof bank.subscribe>[1][] = [
        (_message, { tx }) => tx.values.get("s", "k"),
        (_message, { tx }) => tx.values.put("s", "k", "v"),
        (_message, { tx }) => tx.events.head("s"),
      ];
      for (const [at, handler] of handlers.entries()) await bank.subscribe(`payments.${at}`, handler, once);
      for (const at of handlers.keys()) await bank.publish(`payments.${at}`, 1);

      await expect.poll(() => bank.deadLetters.list()).toHaveLength(handlers.length);
      for (const letter of await bank.deadLetters.list())
        expect(letter).toMatchObject({ code: "UNSUPPORTED", attempts: 1 });
    });

    it("is written by nobody whom another has replaced: his transaction is ended, and nothing of it is read", async () => {
      const namespace = newPlace();
      const broker = brokerIn(namespace);
      bench.after(() => broker.close());
      await broker.open();
      const subscription = await broker.subscribe({ pattern: "c", group: "g", prefetch: 10 });
      const cluster = new Cluster(await loadPackage(), kafkaSettings({ url: bench.server.url, namespace }));
      bench.after(() => cluster.close());
      await cluster.refresh([`${namespace}.c`]);
      const recordOf = (text: string) => ({
        topic: `${namespace}.c`,
        partition: 0,
        key: null,
        value: Buffer.from(JSON.stringify(text)),
        headers: ["ce_id", text],
        timestamp: Date.now(),
      });
      const zombie = await TransactionalProducer.begin(cluster, namespace);
      await zombie.write([recordOf("first")]);
      const successor = await TransactionalProducer.begin(cluster, namespace);

      await expect(zombie.write([recordOf("late")])).rejects.toMatchObject({
        errors: [{ apiId: expect.stringMatching(/PRODUCER_FENCED|INVALID_PRODUCER_EPOCH/) }],
      });
      await successor.write([recordOf("second")]);

      expect((await take(subscription, 2)).map(({ envelope: { id } }) => id)).toEqual(["first", "second"]);
      expect(await subscription.receive(1, 200)).toEqual([]);
    });

    it("is there once when it is committed a second time, by this process or another", async () => {
      const namespace = newPlace();
      const [one, two] = [brokerIn(namespace), brokerIn(namespace)];
      for (const broker of [one, two]) {
        bench.after(() => broker.close());
        await broker.open();
      }
      const spec = { pattern: "c", group: "g", prefetch: 10 };
      const out = await two.subscribe({ ...spec, pattern: "d" });
      const commitBy = async (broker: Broker, channel: string, output: string) => {
        const subscription = await broker.subscribe({ ...spec, pattern: channel });
        await broker.publish([envelope({ channel })]);
        const [delivery] = await take(subscription, 1);
        const commit = {
          delivery: delivery as NonNullable<typeof delivery>,
          inbox: { scope: "g", id: "same" },
          envelopes: [envelope({ id: output, channel: "d" })],
          writes: nothing,
        };
        await subscription.commit?.(commit);
        await expect(subscription.commit?.(commit)).rejects.toMatchObject({ code: "CONFLICT" });
      };
      await commitBy(one, "c", "first");
      await commitBy(one, "e", "again");
      await commitBy(two, "f", "elsewhere");

      expect((await take(out, 1))[0]?.envelope.id).toBe("first");
      expect(await out.receive(1, 300)).toEqual([]);
    });

    it("is refused alone where Kafka refuses it: what is committed beside it takes place", async () => {
      const namespace = newPlace();
      const broker = brokerIn(namespace);
      bench.after(() => broker.close());
      await broker.open();
      const spec = { pattern: "c", group: "g", prefetch: 10 };
      const [subscription, out] = [
        await broker.subscribe(spec),
        await broker.subscribe({ ...spec, pattern: "d" }),
      ];
      await broker.publish(["small", "big", "small too"].map((id) => envelope({ id: id.replace(" ", "-") })));
      const { host, port } = bench.server.address;
      const admin = new Admin({ clientId: "raw", bootstrapBrokers: [`${host}:${port}`] });
      bench.after(() => admin.close());
      const limit = { name: "max.message.bytes", value: "1000", configOperation: 0 as const };
      await admin.incrementalAlterConfigs({
        resources: [{ resourceType: 2, resourceName: `${namespace}.d`, configs: [limit] }],
      });
      const deliveries = await take(subscription, 3);

      const ends = await Promise.allSettled(
        deliveries.map(async (delivery) => {
          const { id } = delivery.envelope;
          const body = Buffer.alloc(id === "big" ? 2000 : 1, "1");
          const envelopes = [envelope({ id: `of-${id}`, channel: "d", body })];
          await subscription.commit?.({ delivery, inbox: { scope: "g", id }, envelopes, writes: nothing });
        }),
      );

      expect(ends.map((end) => (end.status === "rejected" ? end.reason.code : "ok"))).toEqual([
        "ok",
        "MESSAGE_TOO_LARGE",
        "ok",
      ]);
      expect((await take(out, 2)).map(({ envelope: { id } }) => id)).toEqual(["of-small", "of-small-too"]);
      expect(await out.receive(1, 200)).toEqual([]);
    });

    it(
      "gives out what came in, each once, from a pipeline of three hops whose processes are killed",
      async () => {
        const namespace = newPlace();
        const service = await agent("ends", brokerIn(namespace));
        const deaths = () =>
          [
            { deadline: afterReady(20 + Math.random() * 500) },
            { deadline: afterReady(5000), more: { diesAfter: 3 + Math.floor(Math.random() * 10) } },
          ] as const;
        const place = { kafka: bench.server.address, namespace };
        const after = (task: () => unknown) => bench.after(task);
        const passage = { place, messages: MESSAGES, chunk: CHUNK, deaths, withinMs: WITHIN_MS, after };
        expect(await throughPipeline(service, passage)).toBe(2 * Math.ceil(MESSAGES / CHUNK));
        // Not because somebody recognises repeats: there are none.
        for (const { to } of HOPS) {
          const ids = committedIn(namespace, to);
          expect([to, ids.length, new Set(ids).size]).toEqual([to, MESSAGES, MESSAGES]);
        }
      },
      WITHIN_MS,
    );
  });
});
