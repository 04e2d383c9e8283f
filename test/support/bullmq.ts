import { createClient } from "@redis/client";
import { createNodeRedisClient, Queue } from "bullmq";
import { BullMQBroker, type BullMQBrokerOptions } from "../../src/brokers/bullmq/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { startRedis, type TestServer } from "./servers/redis.ts";

/** BullMQ brokers and queues on one Redis, ended after each test. */
export class BullMQBench {
  #redis: TestServer | undefined;
  readonly #cleanup: (() => Promise<unknown>)[] = [];

  get redis(): TestServer {
    if (this.#redis === undefined) throw new Error("The Redis of these tests is not started.");
    return this.#redis;
  }

  async start(): Promise<void> {
    this.#redis = await startRedis();
  }

  async stop(): Promise<void> {
    await this.#redis?.stop();
  }

  /** Something to be done when the test ends. */
  after(task: () => Promise<unknown>): void {
    this.#cleanup.push(task);
  }

  async cleanUp(): Promise<void> {
    for (const end of this.#cleanup.splice(0).toReversed()) await end();
  }

  /** A broker that is closed when the test ends. Brokers of one prefix share everything. */
  made(options: BullMQBrokerOptions = {}): BullMQBroker {
    const broker = new BullMQBroker({ url: this.redis.url, prefix: newPlace(), ...options });
    this.after(() => broker.close());
    return broker;
  }

  /** As {@link made}, and open. */
  async opened(options: BullMQBrokerOptions = {}): Promise<BullMQBroker> {
    const broker = this.made(options);
    await broker.open();
    return broker;
  }

  /** A queue as any BullMQ program opens it. */
  plainQueue(name: string, prefix: string): Queue {
    const client = createClient({ url: this.redis.url, RESP: 2 });
    client.on("error", () => undefined);
    const queue = new Queue(name, { prefix, connection: createNodeRedisClient(client) });
    this.after(async () => {
      await queue.close();
      if (client.isOpen) client.destroy();
    });
    return queue;
  }
}
