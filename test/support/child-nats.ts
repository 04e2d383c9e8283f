import { NatsBroker } from "../../src/brokers/nats/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address, ChildModule } from "../../src/testing/conformance/harness.ts";
import { addressOf, othersOf } from "./child-address.ts";

/** The NATS broker of {@link natsHarness} in another process; the query of this module's URL says where. */
export const createBroker: ChildModule["createBroker"] = (place, options = {}) =>
  natsAt(place, options.address ?? addressOf(import.meta.url), othersOf(import.meta.url));

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);

/** A NATS broker whose streams are this place on this server; with others as `host:port`, on three of a cluster. */
export function natsAt(
  place: string,
  { host, port }: Address,
  others: readonly string[] = [],
  leases: "short" | "long" = "short",
): NatsBroker {
  return new NatsBroker({
    url: `nats://${host}:${port}`,
    namespace: place,
    leaseMs: leases === "long" ? 30_000 : 1000,
    sweepMs: 250,
    maxReconnectMs: 400,
    ...(others.length === 0 ? {} : { servers: others, replicas: 3 }),
  });
}
