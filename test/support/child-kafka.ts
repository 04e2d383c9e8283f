import { KafkaBroker } from "../../src/brokers/kafka/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address, ChildModule } from "../../src/testing/conformance/harness.ts";
import { addressOf, othersOf } from "./child-address.ts";

/** The Kafka broker of {@link kafkaHarness} in another process; the query of this module's URL says where. */
export const createBroker: ChildModule["createBroker"] = (place, options = {}) =>
  kafkaAt(place, options.address ?? addressOf(import.meta.url), othersOf(import.meta.url));

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);

/** A Kafka broker whose storage is this place on this server; with others as `host:port`, on a cluster. */
export function kafkaAt(
  place: string,
  { host, port }: Address,
  others: readonly string[] = [],
  leases: "short" | "long" = "short",
): KafkaBroker {
  return new KafkaBroker({
    url: `kafka://${[`${host}:${port}`, ...others].join(",")}`,
    namespace: place,
    partitions: 2,
    sharedPartitions: 4,
    // Channels of which there are hundreds share a topic, as inboxes do.
    shared: ["g04-subs-10k.#"],
    sessionTimeoutMs: leases === "long" ? 15_000 : 1500,
    heartbeatMs: 200,
  });
}
