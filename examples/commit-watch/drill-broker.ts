import { MemoryBroker, type Broker } from "../../src/index.ts";
import { COMMITS } from "./channels.ts";

/**
 * A drill: the memory broker, but the first commit that goes through it arrives broken off in the middle, as a message
 * does that a faulty program wrote. Nobody can decode it.
 */
export class DrillBroker extends MemoryBroker {
  #broken = false;

  override publish(...[envelopes, options]: Parameters<Broker["publish"]>): ReturnType<Broker["publish"]> {
    return super.publish(
      envelopes.map((envelope) => this.#breakOne(envelope)),
      options,
    );
  }

  #breakOne(envelope: Parameters<Broker["publish"]>[0][number]): typeof envelope {
    if (this.#broken || envelope.channel !== COMMITS.channel) return envelope;
    this.#broken = true;
    return { ...envelope, body: envelope.body.slice(0, envelope.body.length / 2) };
  }
}
