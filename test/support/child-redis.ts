import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address, ChildModule } from "../../src/testing/conformance/harness.ts";
import { addressOf } from "./child-address.ts";

/** The Redis broker of {@link redisHarness} in another process; the query of this module's URL says where. */
export const createBroker: ChildModule["createBroker"] = (place, options = {}) =>
  redisAt(place, options.address ?? addressOf(import.meta.url));

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);

/** How long the Redis broker of the harness recognises an id. */
export const DEDUPE_WINDOW_MS = 120_000;

/** A Redis broker whose storage is this place on this server, with leases short enough to wait for, or `long`. */
export function redisAt(
  place: string,
  { host, port }: Address,
  leases: "short" | "long" = "short",
): RedisBroker {
  return new RedisBroker({
    url: `redis://${host}:${port}`,
    namespace: place,
    leaseMs: leases === "long" ? 30_000 : 500,
    sweepMs: 250,
    dedupeWindowMs: DEDUPE_WINDOW_MS,
  });
}
