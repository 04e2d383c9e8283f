import { describe, expect, it } from "vitest";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FileBroker } from "../brokers/file/broker.ts";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { NatsBroker } from "../brokers/nats/broker.ts";
import { KafkaBroker } from "../brokers/kafka/broker.ts";
import { RabbitBroker } from "../brokers/rabbitmq/broker.ts";
import { RedisBroker } from "../brokers/redis/broker.ts";
import { FakeClock } from "../testing/fake-clock.ts";
import { brokerOf, brokerSource } from "./broker-url.ts";

describe("a broker's URL", () => {
  it.each([undefined, "memory:", "memory", "memory://", "MEMORY:"])(
    "%s is a new memory broker every time",
    (url) => {
      const [one, two] = [brokerOf(url), brokerOf(url)];

      expect([one, two].every((broker) => broker instanceof MemoryBroker)).toBe(true);
      expect(one).not.toBe(two);
    },
  );

  it("with a name is the one broker of that name, whatever the case of the scheme, until that is closed", async () => {
    const team = brokerOf("memory:team");

    expect(brokerOf("Memory://team")).toBe(team);
    expect(brokerOf("memory:Team")).not.toBe(team);
    await team.close();
    expect(brokerOf("memory:team")).not.toBe(team);
    expect(brokerOf("memory:team")).toBe(brokerOf("memory:team"));
  });

  it("is the store in a folder, by a relative or an absolute path", async () => {
    expect(
      ["file:", "file:./messages", "FILE:messages"].every((url) => brokerOf(url) instanceof FileBroker),
    ).toBe(true);
    const folder = mkdtempSync(path.join(tmpdir(), "herald-url-"));
    const [writer, reader] = [brokerOf(`file:${folder}`), brokerOf(`file://${folder}`)];
    await Promise.all([writer.open(), reader.open()]);
    await writer.admin?.declare("made.here");
    expect(await reader.admin?.list()).toEqual(["made.here"]);
    await Promise.all([writer.close(), reader.close()]);
    rmSync(folder, { recursive: true });
  });

  it("is a Redis server, in a namespace when the URL names one", () => {
    expect(brokerOf("redis://localhost/1?namespace=team")).toBeInstanceOf(RedisBroker);
    expect(brokerOf("nats://localhost?namespace=team")).toBeInstanceOf(NatsBroker);
    expect(brokerOf("tls://localhost")).toBeInstanceOf(NatsBroker);
    expect(brokerOf("rediss://localhost")).toBeInstanceOf(RedisBroker);
    expect(() => brokerOf("redis://localhost?namespace=a b")).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });

  it("is a Kafka cluster, named by some of its nodes", () => {
    expect(brokerOf("kafka://one:9092,two?namespace=team")).toBeInstanceOf(KafkaBroker);
    expect(brokerOf("kafkas://user:secret@localhost")).toBeInstanceOf(KafkaBroker);
    expect(() => brokerOf("kafka:a,b")).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });

  it("is a RabbitMQ server and one of its virtual hosts", () => {
    expect(brokerOf("amqp://user:secret@localhost/vhost?namespace=team")).toBeInstanceOf(RabbitBroker);
    expect(brokerOf("amqps://localhost")).toBeInstanceOf(RabbitBroker);
    expect(() => brokerOf("amqp://localhost?namespace=a b")).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });

  it.each(["kafkax:a,b", "", ":", "http://x", "memoryx:"])(
    "%j is UNSUPPORTED, saying what there is",
    (url) => {
      expect(() => brokerOf(url)).toThrow(
        expect.objectContaining({
          code: "UNSUPPORTED",
          message: expect.stringContaining(
            "use memory:, memory:<name>, file:<folder>, redis://<host>, rediss://<host>, nats://<host>, tls://<host>, kafka://<host>, kafkas://<host>, amqp://<host>, amqps://<host> or failover:<url>|<url>, or hand in a broker object.",
          ) as string,
          details: { field: "broker", scheme: url.split(":")[0] },
        }),
      );
    },
  );
});

describe("a failover URL", () => {
  it("names two brokers", () => {
    expect(brokerOf("failover:memory:|memory:").name).toBe("failover(memory, memory)");
  });

  it.each(["failover:", "failover:memory:", "failover:memory:|memory:|memory:"])(
    "%s is INVALID_ARGUMENT",
    (url) => {
      expect(() => brokerOf(url)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    },
  );
});

describe("a broker object", () => {
  it("is what it is, at every start", () => {
    const broker = new MemoryBroker();
    const source = brokerSource(broker, new FakeClock());

    expect(brokerOf(broker)).toBe(broker);
    expect([source(), source()]).toEqual([broker, broker]);
  });

  it.each([7, null, {}, { open: () => {}, publish: () => {} }])("that is %j is INVALID_ARGUMENT", (value) => {
    expect(() => brokerOf(value as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field: "broker" } }),
    );
  });
});

describe("a broker that a service makes for itself", () => {
  it("is made for every start, and goes by the service's clock", async () => {
    const clock = new FakeClock();
    const source = brokerSource("memory:", clock);
    const broker = source();
    expect(source()).not.toBe(broker);

    await broker.open();
    const subscription = await broker.subscribe({ pattern: "x", group: "g", prefetch: 1 });
    const waiting = subscription.receive(1, 1000);
    await clock.advanceAsync(1000);

    expect(await waiting).toEqual([]);
  });
});
