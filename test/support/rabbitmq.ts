import { RabbitBroker, type RabbitBrokerOptions } from "../../src/brokers/rabbitmq/broker.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { startRabbit, type RabbitOptions, type TestRabbit } from "./servers/rabbitmq.ts";

/** RabbitMQ brokers on RabbitMQ servers, ended after each test. */
export class RabbitBench {
  #server: TestRabbit | undefined;
  readonly #cleanup: (() => unknown)[] = [];

  get server(): TestRabbit {
    if (this.#server === undefined) throw new Error("The RabbitMQ of these tests is not started.");
    return this.#server;
  }

  async start(options: RabbitOptions = {}): Promise<void> {
    this.#server = await startRabbit(options);
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  /** A server of its own for one test. */
  async own(options: RabbitOptions = {}): Promise<TestRabbit> {
    const server = await startRabbit(options);
    this.after(() => server.stop());
    return server;
  }

  /** Something to be done when the test ends. */
  after(task: () => unknown): void {
    this.#cleanup.push(task);
  }

  async cleanUp(): Promise<void> {
    for (const end of this.#cleanup.splice(0).toReversed()) await end();
  }

  /** A broker that is closed when the test ends. Brokers of one namespace share everything. */
  made(options: RabbitBrokerOptions = {}): RabbitBroker {
    const times = { commandTimeoutMs: 1500, maxReconnectMs: 200 };
    const url = options.url ?? this.server.url;
    const broker = new RabbitBroker({ namespace: newPlace(), ...times, ...options, url });
    this.after(() => broker.close());
    return broker;
  }

  /** As {@link made}, and open. */
  async opened(options: RabbitBrokerOptions = {}): Promise<RabbitBroker> {
    const broker = this.made(options);
    await broker.open();
    return broker;
  }
}
