import type { Failure } from "../../core/delivery.ts";
import { withFailure } from "../shared/failures.ts";
import { propertiesOf } from "./codec.ts";
import type { RabbitDelivery } from "./delivery.ts";
import type { Session } from "./session.ts";
import { rungFor, type Topology } from "./topology.ts";
import type { Writer } from "./writer.ts";

/** How a delivery goes back. */
export interface Return {
  readonly delayMs: number;
  /** It was an attempt. */
  readonly counts: boolean;
  readonly failure?: Failure | undefined;
}

const RETRY_MS = 50;

/**
 * Gives messages back. The server counts every one that it takes back as an attempt, and keeps no delay: so a copy with what
 * is known of it is stored first, and then the message is acknowledged. A crash in between makes two of one.
 */
export class Returns {
  readonly #session: Session;
  readonly #writer: Writer;
  readonly #topology: Topology;
  readonly #giving = new Set<RabbitDelivery>();

  constructor(session: Session, writer: Writer, topology: Topology) {
    this.#session = session;
    this.#writer = writer;
    this.#topology = topology;
  }

  /** Resolves once it is given back: true; false: its channel was lost, and it comes again by itself. */
  async give(delivery: RabbitDelivery, how: Return): Promise<boolean> {
    const dueAt = how.delayMs > 0 ? this.#session.clock.now() + how.delayMs : 0;
    this.#giving.add(delivery);
    try {
      while (!delivery.isOver && !this.#session.isClosed) {
        try {
          await this.#store(delivery, how, dueAt);
          return delivery.ack();
        } catch {
          await this.#session.timers.pause(RETRY_MS).over;
        }
      }
      return false;
    } finally {
      this.#giving.delete(delivery);
    }
  }

  /** The channel that deliveries come over was lost: they come again, and a copy that is not stored yet would make two of one. */
  cutOff(): void {
    for (const delivery of this.#giving) delivery.cutOff();
  }

  async #store(delivery: RabbitDelivery, { counts, failure }: Return, dueAt: number): Promise<void> {
    const { names, clock } = this.#session;
    const { envelope, attempt, home } = delivery;
    const properties = propertiesOf(envelope, {
      attempts: counts ? attempt : attempt - 1,
      failures: withFailure(delivery.failures, failure),
      notBefore: Math.ceil(Math.max(dueAt, counts ? 0 : delivery.dueAt)),
    });
    const rungMs = rungFor(Math.max(dueAt - clock.now(), 0));
    let exchange = names.back;
    if (rungMs !== undefined) {
      exchange = await this.#topology.rung("retry", rungMs);
      properties.expiration = String(rungMs);
    }
    await new Promise<void>((resolve, reject) => {
      this.#writer.send({
        exchange,
        key: home.queue,
        body: envelope.body,
        properties,
        done: (error) => (error === undefined ? resolve() : reject(error)),
      });
    });
  }
}
