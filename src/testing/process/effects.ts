import type { Broker, Subscription } from "../../core/broker.ts";
import type { Delivery } from "../../core/delivery.ts";
import { isHeraldError } from "../../core/errors.ts";
import { Column } from "../checker/columns.ts";
import { IdIndex } from "../checker/id-index.ts";
import { hashText } from "../conformance/hash.ts";

const AT_ONCE = 1000;
const WAIT_MS = 100;
const RETRY_MS = 50;

/**
 * Reads the effects of a run as they come: what handlers published through their context. An effect that is stored twice is
 * told twice; one that is handed out twice is not.
 */
export class EffectReader {
  readonly #broker: Broker;
  readonly #told: (cause: string) => void;
  readonly #ids = new IdIndex();
  readonly #positions: Column[] = [];
  #isOver = false;
  #subscription: Subscription | undefined;
  #reading: Promise<void> | undefined;

  /** `broker`: open. `told`: called with the id of the message that an effect is of. */
  constructor(broker: Broker, told: (cause: string) => void) {
    this.#broker = broker;
    this.#told = told;
  }

  /** Resolves once every effect from now on is seen. */
  async start(channel: string): Promise<void> {
    this.#subscription = await this.#broker.subscribe({
      pattern: channel,
      group: "effects",
      prefetch: AT_ONCE,
    });
    this.#reading = this.#read(this.#subscription);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#reading;
    // The broker is closed next, and with it what this could not close.
    await this.#subscription?.close().catch(() => undefined);
  }

  async #read(subscription: Subscription): Promise<void> {
    while (!this.#isOver) {
      try {
        const deliveries = await subscription.receive(AT_ONCE, WAIT_MS);
        for (const delivery of deliveries) this.#see(delivery);
        await subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
      } catch (error) {
        // The server is down, or was: what was handed out comes again.
        if (!isHeraldError(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #see({ envelope, position }: Delivery): void {
    const cause = envelope.causationId;
    if (cause === undefined) return;
    const { writer, counter } = this.#ids.place(cause);
    const seen = (this.#positions[writer] ??= Column.words());
    const mark = hashText(position);
    if (seen.get(counter) === mark) return;
    seen.set(counter, mark);
    this.#told(cause);
  }
}
