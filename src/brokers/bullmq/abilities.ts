import type { Capabilities, Durability, SubscriptionSpec } from "../../core/broker.ts";
import { checkSpec } from "../../core/broker-checks.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import type { BullMQSettings } from "./options.ts";

/** What this broker can do, on a server of this durability. */
export function capabilitiesOf(durability: Durability, settings: BullMQSettings): Capabilities {
  return {
    durability,
    ordering: "none",
    groups: true,
    broadcast: true,
    wildcard: true,
    priority: true,
    delay: true,
    nackDelay: true,
    replayByPosition: false,
    replayByTime: false,
    lag: true,
    exactAttempts: true,
    lease: true,
    dedupe: true,
    maxBatch: 1000,
    maxBodyBytes: settings.maxBodyBytes,
  };
}

/** Throws `INVALID_CHANNEL`, `INVALID_ARGUMENT`, or `UNSUPPORTED` for a subscription that this broker cannot make. */
export function checkSubscribable(spec: SubscriptionSpec): void {
  checkSpec(spec);
  if (spec.ordering === "strict") {
    const message =
      "BullMQ keeps no order per key: subscribe without ordering 'strict', or use a broker that does.";
    throw new HeraldError("UNSUPPORTED", message, { details: { field: "ordering" } });
  }
  if (spec.from !== undefined && spec.from !== "new") {
    const message = `BullMQ keeps no message once it is handled: subscribe from 'new', not ${showValue(spec.from)}.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { field: "from" } });
  }
}
