import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { Topology } from "../../src/service/patterns.ts";
import type { Broker } from "../../src/core/broker.ts";
import type { Address } from "../../src/testing/conformance/harness.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { bullmqAt } from "../support/child-bullmq.ts";
import { failoverAt } from "../support/child-failover.ts";
import { hybridFilesAt } from "../support/child-hybrid.ts";
import { kafkaAt } from "../support/child-kafka.ts";
import { natsAt } from "../support/child-nats.ts";
import { rabbitAt } from "../support/child-rabbitmq.ts";
import { scratchFolder } from "../support/file-store.ts";
import { PlainBroker } from "../support/plain-broker.ts";
import { startKafka } from "../support/servers/kafka.ts";
import { startNats } from "../support/servers/nats.ts";
import { startRabbit } from "../support/servers/rabbitmq.ts";
import { startRedis } from "../support/servers/redis.ts";
import { whenStarted } from "../support/servers/when.ts";
import { topologyCases } from "../support/topology-cases.ts";

const root = scratchFolder("topology");
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("queues and exchanges over the memory broker", () => {
  topologyCases(() => {
    const broker = new MemoryBroker();
    return { broker: () => broker };
  });
});

describe("queues and exchanges over the file broker", () => {
  topologyCases(() => {
    const directory = path.join(root, newPlace());
    return { broker: () => new FileBroker({ directory }) };
  });
});

describe("queues and exchanges over a hybrid of three file brokers", () => {
  topologyCases(() => {
    const directory = path.join(root, newPlace());
    mkdirSync(directory);
    return { broker: () => hybridFilesAt(directory) };
  });
});

interface Server {
  readonly address: Address;
  stop(): Promise<void>;
}

/** What a technology is started by, and a broker of a place on it. */
const ENGINES = {
  redis: [
    startRedis,
    (namespace, { host, port }) => new RedisBroker({ url: `redis://${host}:${port}`, namespace }),
  ],
  bullmq: [startRedis, (place, address) => bullmqAt(place, address, "long")],
  failover: [
    startRedis,
    (place, address) => failoverAt({ place, directory: path.join(root, place), leases: "long" }, address),
  ],
  kafka: [startKafka, (place, address) => kafkaAt(place, address, [], "long")],
  rabbitmq: [startRabbit, (place, address) => rabbitAt(place, address)],
  nats: [startNats, (place, address) => natsAt(place, address, [], "long")],
} as const satisfies Record<string, readonly [() => Promise<Server>, (place: string, at: Address) => Broker]>;

for (const name of ["redis", "bullmq", "failover", "kafka", "nats", "rabbitmq"] as const) {
  const [start, brokerAt] = ENGINES[name];
  const technology = name === "bullmq" || name === "failover" ? "redis" : name;
  whenStarted(technology, `queues and exchanges over the ${name} broker`, () => {
    let server: Server;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server.stop());
    topologyCases(() => {
      const place = newPlace();
      return { broker: () => brokerAt(place, server.address) };
    });
  });
}

describe("queues and exchanges over a broker that cannot look after channels", () => {
  it("are refused as the ability that is missing", async () => {
    const topology = new Topology(new PlainBroker(new MemoryBroker(), []));
    await expect(topology.createQueue("mails")).rejects.toMatchObject({
      code: "UNSUPPORTED",
      details: { ability: "admin" },
    });
    await topology.close();
  });
});
