import { toHeraldError } from "../../core/errors.ts";
import { failedPublish } from "../conformance/recorded-broker.ts";
import { hashMessage, hashText } from "../conformance/hash.ts";
import type { ChildParts, Playing } from "./child-parts.ts";
import type { ChildOrder, PublisherRole } from "./spec.ts";

const RETRY_MS = 25;
const KEYS_A_LANE = 16;

/** Publishes what it is granted, so many at once, each lane in order. */
export function playPublisher(role: PublisherRole, parts: ChildParts): Playing {
  return new Publisher(role, parts);
}

class Publisher implements Playing {
  readonly #role: PublisherRole;
  readonly #parts: ChildParts;
  readonly #pad: string;
  #end: number;
  #isLast = false;
  #idle: (() => void)[] = [];
  #lanes: number;

  constructor(role: PublisherRole, parts: ChildParts) {
    this.#role = role;
    this.#parts = parts;
    this.#pad = "x".repeat(role.bodyBytes);
    this.#end = role.first + role.granted;
    this.#lanes = role.inFlight;
    for (let lane = 0; lane < role.inFlight; lane++) void this.#play(lane);
  }

  order(order: ChildOrder): void {
    if ("grant" in order) this.#end += order.grant;
    else this.#isLast = true;
    for (const wake of this.#idle.splice(0)) wake();
  }

  /** A lane takes every so many-th counter, in order; first those that were left open. */
  async #play(lane: number): Promise<void> {
    const { inFlight, first, again, repeatEvery } = this.#role;
    for (const counter of again) if (counter % inFlight === lane) await this.#send(counter);
    let counter = first + ((lane - (first % inFlight) + inFlight) % inFlight);
    while (counter < this.#end || !this.#isLast) {
      if (counter >= this.#end) await new Promise<void>((resolve) => this.#idle.push(resolve));
      else {
        await this.#send(counter);
        if (repeatEvery > 0 && counter % repeatEvery === 0) await this.#send(counter);
        counter += inFlight;
      }
    }
    if (--this.#lanes === 0) this.#parts.lines.add({ type: "finished" });
  }

  async #send(counter: number): Promise<void> {
    const { writer, channel, inFlight, dedupe, poisonEvery, delayUpToMs } = this.#role;
    const { lines, service } = this.#parts;
    const id = `${writer}-${counter}`;
    // The messages of one key are of one lane, so that none overtakes another on its way to the broker.
    const partitionKey = `${writer}.${counter % (inFlight * KEYS_A_LANE)}`;
    const isPoison = poisonEvery > 0 && counter % poisonEvery === poisonEvery - 1;
    const payload = { n: counter, ...(isPoison ? { poison: true } : {}), pad: this.#pad };
    const delay = delayUpToMs > 0 ? { delayMs: hashText(id) % delayUpToMs } : {};
    const options = { id, partitionKey, ...(dedupe ? { dedupe } : {}), ...delay };
    for (;;) {
      lines.add({
        type: "pub.invoke",
        id,
        channel,
        key: partitionKey,
        hash: hashMessage(payload, undefined),
        notBefore: delay.delayMs === undefined ? undefined : lines.now() + delay.delayMs,
      });
      try {
        await service.publish(channel, payload, options);
        lines.add({ type: "pub.ok", id });
        return;
      } catch (thrown) {
        const failed = failedPublish(id, toHeraldError(thrown));
        lines.add(failed);
        // What was refused for certain may be sent again in any case; what may be stored only where ids are recognised.
        if (failed.type === "pub.info" && !dedupe) return;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
}
