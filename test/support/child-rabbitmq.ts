import { RabbitBroker } from "../../src/brokers/rabbitmq/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address, ChildModule } from "../../src/testing/conformance/harness.ts";
import { addressOf } from "./child-address.ts";
import { exchange } from "./servers/exchange.ts";

/** The RabbitMQ broker of the harness in another process; the query of this module's URL says where. */
export const createBroker: ChildModule["createBroker"] = async (place, options = {}) => {
  const address = options.address ?? addressOf(import.meta.url);
  await answers(address);
  return rabbitAt(place, address);
};

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);

/** A RabbitMQ broker whose storage is this place on this server. */
export function rabbitAt(place: string, { host, port }: Address): RabbitBroker {
  const url = `amqp://guest:guest@${host}:${port}`;
  return new RabbitBroker({ url, namespace: place, maxReconnectMs: 250 });
}

const WAITS_MS = 20_000;
const LOOK_EVERY_MS = 100;

/**
 * Resolves when a RabbitMQ answers there, or not for long: it takes seconds to start, and the more, the more processes are started
 * meanwhile to find that it is away.
 */
async function answers(address: Address): Promise<void> {
  for (const endsAt = performance.now() + WAITS_MS; performance.now() < endsAt;) {
    try {
      await exchange(
        address,
        Buffer.from("AMQP\0\0\x09\x01", "latin1"),
        ({ length }) => length > 0 || undefined,
      );
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }
}
