import type { Ability, Broker, BrokerAdmin, Capabilities } from "../../src/core/broker.ts";
import { LessBroker } from "./less-broker.ts";

/** A broker with abilities taken away, and with them order and everything that looks after channels. */
export class PlainBroker extends LessBroker {
  override readonly name: string = "plain";

  constructor(inner: Broker, off: readonly Ability[]) {
    super(inner, off);
    delete (this as { admin?: BrokerAdmin }).admin;
  }

  protected override adapt(capabilities: Capabilities): Capabilities {
    return { ...super.adapt(capabilities), ordering: "none" };
  }
}
