import { afterAll, afterEach, beforeAll } from "vitest";
import { KafkaBroker, type KafkaBrokerOptions } from "../../src/brokers/kafka/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { subscribe as listen, unsubscribe as unlisten } from "node:diagnostics_channel";
import { startKafka, type TestKafka } from "./servers/kafka.ts";

/** For tests in which a server dies or is cut off; in others a busy machine may take the time that brokers take by default. */
export const IMPATIENT: KafkaBrokerOptions = { requestTimeoutMs: 1000, publishTimeoutMs: 3000 };

/** Brokers on a Kafka, ended after each test. */
export class KafkaBench {
  readonly #options: KafkaBrokerOptions;
  #server: TestKafka | undefined;
  readonly #cleanup: (() => unknown)[] = [];

  /** `options` are those of every broker. */
  constructor(options: KafkaBrokerOptions = {}) {
    this.#options = options;
  }

  get server(): TestKafka {
    if (this.#server === undefined) throw new Error("The Kafka of these tests is not started.");
    return this.#server;
  }

  async start(): Promise<void> {
    this.#server = await startKafka();
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  /** Something to be done when the test ends. */
  after(task: () => unknown): void {
    this.#cleanup.push(task);
  }

  async cleanUp(): Promise<void> {
    for (const end of this.#cleanup.splice(0).toReversed()) await end();
  }

  /** A broker that is closed when the test ends. Brokers of one namespace share everything. */
  made(options: KafkaBrokerOptions = {}): KafkaBroker {
    const times = { sessionTimeoutMs: 1500, heartbeatMs: 200, ...this.#options };
    const url = options.url ?? this.server.url;
    const broker = new KafkaBroker({ namespace: newPlace(), partitions: 2, ...times, ...options, url });
    this.after(() => broker.close());
    return broker;
  }

  /** As {@link made}, and open. */
  async opened(options: KafkaBrokerOptions = {}): Promise<KafkaBroker> {
    const broker = this.made(options);
    await broker.open();
    return broker;
  }

  /** Everything that is told on one of Herald's events from now on. */
  told<T>(event: "herald:data-lost" | "herald:fault"): T[] {
    const found: T[] = [];
    const listener = (message: unknown): void => void found.push(message as T);
    listen(event, listener);
    this.after(() => unlisten(event, listener));
    return found;
  }
}

/** A bench for the tests that are declared around this call, with a Kafka of its own. */
export function kafkaBench(options: KafkaBrokerOptions = {}): KafkaBench {
  const bench = new KafkaBench(options);
  beforeAll(() => bench.start());
  afterAll(() => bench.stop());
  afterEach(() => bench.cleanUp());
  return bench;
}
