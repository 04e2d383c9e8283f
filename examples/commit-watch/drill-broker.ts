import { FileBroker } from "../../src/brokers/file/broker.ts";
import type { Broker } from "../../src/index.ts";
import { COMMITS } from "./channels.ts";

/**
 * A drill: the file broker, but the first commit that goes through it arrives broken off in the middle, as a message
 * does that a faulty program wrote. Nobody can decode it.
 */
export class DrillBroker extends FileBroker {
  #broken = false;

  override publish(...[envelopes, options]: Parameters<Broker["publish"]>): ReturnType<Broker["publish"]> {
    return super.publish(
      envelopes.map((envelope) => this.#breakOne(envelope)),
      options,
    );
  }

  /** After a kill the same commit is the first again: the broker has it already and recognises it, broken or not. */
  #breakOne(envelope: Parameters<Broker["publish"]>[0][number]): typeof envelope {
    if (this.#broken || envelope.channel !== COMMITS.channel) return envelope;
    this.#broken = true;
    return { ...envelope, body: envelope.body.slice(0, envelope.body.length / 2) };
  }
}
