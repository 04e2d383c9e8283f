import { expect, it } from "vitest";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { envelope } from "../support/envelopes.ts";
import { kafkaBench } from "../support/kafka.ts";
import { ack, take } from "../support/taking.ts";
import { kcat as kcatAt, readByKcat } from "../support/kcat.ts";
import { whenStarted } from "../support/servers/when.ts";

const spec = { group: "g", prefetch: 10 };

whenStarted("kcat", "beside kcat", () => {
  whenStarted("kafka", "a Kafka broker", () => {
    const bench = kafkaBench();

    const kcat = (args: readonly string[], input?: string) => kcatAt(bench.server.address, args, input);
    const read = (topic: string, format: string, ...more: readonly string[]) =>
      readByKcat(bench.server.address, topic, format, more);

    it("stores what it shows: the payload, the key, and CloudEvents headers", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace });
      const body = Buffer.from('{"total":12,"text":"Grüße"}');
      await broker.publish([
        envelope({
          id: "m1",
          channel: "orders.created",
          source: "shop",
          key: "k7",
          type: "event",
          time: Date.parse("2026-01-02T03:04:05.678Z"),
          body,
          headers: { mine: "kept" },
        }),
      ]);

      const shown = read(`${namespace}.orders.created`, String.raw`%k\n%s\n%h\n`).split("\n");

      expect(shown.slice(0, 2)).toEqual(["k7", '{"total":12,"text":"Grüße"}']);
      expect(shown[2]?.split(",")).toEqual(
        expect.arrayContaining([
          "ce_specversion=1.0",
          "ce_id=m1",
          "ce_source=shop",
          "ce_type=event",
          "ce_time=2026-01-02T03:04:05.678Z",
          "content-type=application/json",
          "mine=kept",
        ]),
      );
    });

    it("takes what it writes, with CloudEvents headers and with none", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace, partitions: 1 });
      const subscription = await broker.subscribe({ ...spec, pattern: "orders.created" });
      const topic = `${namespace}.orders.created`;
      const headers = { ce_specversion: "1.0", ce_id: "from-kcat", ce_source: "/shell", ce_type: "event" };
      const flags = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}=${value}`]);

      kcat(["-P", "-t", topic, "-k", "k1", ...flags, "-H", "color=red"], '{"n":1}\n');
      kcat(["-P", "-t", topic], '{"n":2}\n');

      const [first, second] = (await take(subscription, 2)).map((delivery) => delivery.envelope);
      expect(first).toMatchObject({
        id: "from-kcat",
        channel: "orders.created",
        source: "/shell",
        type: "event",
        key: "k1",
        headers: { color: "red" },
      });
      expect(Buffer.from(first!.body).toString()).toBe('{"n":1}');
      expect(second).toMatchObject({ channel: "orders.created", source: "external" });
      expect(Buffer.from(second!.body).toString()).toBe('{"n":2}');
    });

    it("shows to which agent a message in the topic of all inboxes goes, and puts one there", async () => {
      const namespace = newPlace();
      const broker = await bench.opened({ namespace, sharedPartitions: 1 });
      const subscription = await broker.subscribe({ ...spec, pattern: "agent-7" });
      await broker.publish([envelope({ id: "m1", channel: "agent-7", time: Date.now() })]);
      await ack(subscription, await take(subscription, 1));

      const topic = `${namespace}.--shared`;
      expect(read(topic, String.raw`%h\n`)).toContain("herald-channel=agent-7");
      kcat(["-P", "-t", topic, "-H", "herald-channel=agent-7"], "hello\n");

      const [delivery] = await take(subscription, 1);
      expect(delivery?.envelope).toMatchObject({ channel: "agent-7", source: "external" });
      expect(Buffer.from(delivery!.envelope.body).toString()).toBe("hello");
    });
  });
});
