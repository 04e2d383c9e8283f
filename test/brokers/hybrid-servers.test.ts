import { rmSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { hybrid } from "../../src/brokers/hybrid/broker.ts";
import type { Message } from "../../src/core/message.ts";
import { MessagingService } from "../../src/service/service.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { kafkaAt } from "../support/child-kafka.ts";
import { rabbitAt } from "../support/child-rabbitmq.ts";
import { scratchFolder } from "../support/file-store.ts";
import { startKafka, type TestKafka } from "../support/servers/kafka.ts";
import { startRabbit, type TestRabbit } from "../support/servers/rabbitmq.ts";
import { whenStarted } from "../support/servers/when.ts";

const CHANNELS = ["events.created", "notes", "tasks.print"];
const EACH = 100;

whenStarted("kafka", "one service over Kafka, RabbitMQ and files", () => {
  whenStarted("rabbitmq", "each with its channels", () => {
    let kafka: TestKafka;
    let rabbit: TestRabbit;
    beforeAll(async () => {
      [kafka, rabbit] = await Promise.all([startKafka(), startRabbit()]);
    });
    afterAll(() => Promise.all([kafka.stop(), rabbit.stop()]));

    async function service(agentId: string): Promise<MessagingService> {
      const folder = scratchFolder("hybrid");
      const place = newPlace();
      const broker = hybrid({
        "events.#": kafkaAt(place, kafka.address, [], "long"),
        "tasks.#": rabbitAt(place, rabbit.address),
        "#": new FileBroker({ directory: path.join(folder, "store") }),
      });
      const made = new MessagingService({
        agentId,
        broker,
        retry: { maxAttempts: 2, backoff: { initialDelayMs: 10 } },
      });
      await made.start();
      onTestFinished(async () => {
        await made.stop();
        rmSync(folder, { recursive: true, force: true });
      });
      return made;
    }

    it("handles what is on each of them once, by channel and by a pattern over all of them", async () => {
      const agent = await service("worker");
      const [own, all] = [new Map<string, number>(), new Map<string, number>()];
      const count = (seen: Map<string, number>) => (message: Message) => {
        const name = `${message.channel} ${String(message.payload)}`;
        seen.set(name, (seen.get(name) ?? 0) + 1);
      };
      for (const channel of CHANNELS)
        await agent.subscribe(channel, count(own), { group: "worker", guarantee: "exactly-once" });
      await agent.subscribe("#", count(all), { group: "auditor", guarantee: "exactly-once" });

      await Promise.all(
        Array.from({ length: EACH }, (_none, n) =>
          CHANNELS.map((channel) => agent.publish(channel, n)),
        ).flat(),
      );

      for (const seen of [own, all]) {
        await expect.poll(() => seen.size).toBe(EACH * CHANNELS.length);
        expect(new Set(seen.values())).toEqual(new Set([1]));
      }
    });

    it("answers across them, and shows the dead letters of all as one channel that is redriven", async () => {
      const agent = await service("asker");
      await agent.subscribe<number>("tasks.double", ({ payload }) => Promise.resolve(payload * 2));
      expect(await agent.request("tasks.double", 21)).toBe(42);

      let isBroken = true;
      const handled: string[] = [];
      for (const channel of CHANNELS)
        await agent.subscribe(channel, (message) => {
          if (isBroken) throw new Error("not yet");
          handled.push(message.channel);
        });
      for (const channel of CHANNELS) await agent.publish(channel, 1);
      const waiting = async () => (await agent.deadLetters.list({})).map(({ channel }) => channel);
      await expect.poll(async () => (await waiting()).toSorted()).toEqual(CHANNELS);
      isBroken = false;
      await agent.deadLetters.redrive({});
      await expect.poll(() => handled.toSorted()).toEqual(CHANNELS);
      await expect.poll(waiting).toEqual([]);
    });

    it("goes on over the others while one is away, says so, and takes it up again", async () => {
      const agent = await service("stayer");
      const handled: string[] = [];
      for (const channel of CHANNELS) await agent.subscribe(channel, ({ id }) => void handled.push(id));
      await rabbit.settled();
      await rabbit.kill();
      const lost = agent.publish("tasks.print", 1, { id: "away" });
      await expect(lost).rejects.toMatchObject({
        code: expect.stringMatching(/^(NOT_CONNECTED|PUBLISH_UNKNOWN|TIMEOUT|OVERLOADED)$/) as string,
      });
      await agent.publish("events.created", 1, { id: "event" });
      await agent.publish("notes", 1, { id: "note" });
      await expect.poll(() => handled.toSorted()).toEqual(["event", "note"]);
      expect((await agent.getHealth()).status).not.toBe("healthy");

      await rabbit.start();
      await expect
        .poll(
          () =>
            agent.publish("tasks.print", 1, { id: "back" }).then(
              () => true,
              () => false,
            ),
          { interval: 100 },
        )
        .toBe(true);
      await expect.poll(() => handled).toContain("back");
      await expect.poll(async () => (await agent.getHealth()).status).toBe("healthy");
    });
  });
});
