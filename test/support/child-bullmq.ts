import { BullMQBroker } from "../../src/brokers/bullmq/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address, ChildModule } from "../../src/testing/conformance/harness.ts";
import { addressOf } from "./child-address.ts";

/** The BullMQ broker of {@link bullmqHarness} in another process; the query of this module's URL says where. */
export const createBroker: ChildModule["createBroker"] = (place, options = {}) =>
  bullmqAt(place, options.address ?? addressOf(import.meta.url));

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);

/** How long the BullMQ broker of the harness recognises an id. */
const DEDUPE_WINDOW_MS = 120_000;

/** A BullMQ broker whose storage is this place on this server, with leases short enough to wait for, or `long`. */
export function bullmqAt(
  place: string,
  { host, port }: Address,
  leases: "short" | "long" = "short",
): BullMQBroker {
  return new BullMQBroker({
    url: `redis://${host}:${port}`,
    prefix: place,
    // Long enough for a machine that does other things as well.
    leaseMs: leases === "long" ? 30_000 : 1000,
    stalledCheckMs: 250,
    broadcastGraceMs: 5000,
    dedupeWindowMs: DEDUPE_WINDOW_MS,
    timeoutMs: 4000,
  });
}
