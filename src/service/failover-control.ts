import { FailoverBroker, type FailoverControl } from "../brokers/failover/broker.ts";
import type { Broker } from "../core/broker.ts";

export type { FailoverControl, FailoverCounts } from "../brokers/failover/control.ts";

/** The hand on the switch of a failover broker; undefined for any other. */
export function failoverControlOf(broker: Broker): FailoverControl | undefined {
  return broker instanceof FailoverBroker ? broker.control : undefined;
}
