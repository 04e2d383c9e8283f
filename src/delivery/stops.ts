import type { Clock } from "../core/clock.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError, toHeraldError } from "../core/errors.ts";
import { emit } from "../core/events.ts";
import type { Outcome } from "../core/outcome.ts";
import type { KeyValueStore } from "../core/store.ts";
import { conversationKey, conversationOf } from "./budget.ts";
import { isDeadLetter } from "./dead-letter.ts";

const SPACE = "stopped";
/** How often the list is read while messages come. */
const LOOK_EVERY_MS = 1000;
/** A stop is remembered for longer than anything waits. */
const KEPT_MS = 30 * 86_400_000;

/** Conversations that were stopped, by whatever process: a list at the broker that is read again while messages come. */
export class Stops {
  readonly #values: KeyValueStore;
  readonly #clock: Clock;
  readonly #agentId: string;
  #keys: ReadonlySet<string> = new Set();
  #lookedAt = -Infinity;
  #waiting: Promise<void> | undefined;

  constructor(values: KeyValueStore, clock: Clock, agentId: string) {
    this.#values = values;
    this.#clock = clock;
    this.#agentId = agentId;
  }

  /** Reads the list again if that was long ago; if it was very long ago, a promise: nothing may start before it is known. */
  refresh(): Promise<void> | undefined {
    const now = this.#clock.monotonic();
    if (now - this.#lookedAt < LOOK_EVERY_MS) return this.#waiting;
    const isStale = now - this.#lookedAt >= 2 * LOOK_EVERY_MS;
    this.#lookedAt = now;
    const look = this.#look();
    if (!isStale) return undefined;
    // Other subscriptions that get something meanwhile wait for the same look.
    this.#waiting = look.then(() => void (this.#waiting = undefined));
    return this.#waiting;
  }

  /** The outcome of a message whose conversation was stopped; undefined: go on. */
  judge(envelope: Envelope): Outcome | undefined {
    if (this.#keys.size === 0 || isDeadLetter(envelope)) return undefined;
    const conversation = conversationOf(envelope);
    if (!this.#keys.has(conversationKey(conversation))) return undefined;
    const message = `The conversation ${conversation} was stopped by an operator: its messages go to the dead letters.`;
    const details = { correlationId: conversation };
    return { kind: "rejected", error: new HeraldError("CONVERSATION_STOPPED", message, { details }) };
  }

  /** Stops a conversation for every agent of the broker; those that handle messages know within a second. */
  async stop(conversation: string): Promise<void> {
    const now = this.#clock.now();
    for (const key of await this.#values.keys(SPACE)) {
      const kept = await this.#values.get(SPACE, key);
      if (kept !== undefined && Number(kept.value) < now - KEPT_MS)
        await this.#values.delete(SPACE, key, kept.token);
    }
    await this.#values.put(SPACE, conversationKey(conversation), String(now));
    await this.#look();
  }

  /** Lets a stopped conversation go on: what it left in the dead letters can be redriven. False: it was not stopped. */
  async release(conversation: string): Promise<boolean> {
    const wasStopped = await this.#values.delete(SPACE, conversationKey(conversation));
    await this.#look();
    return wasStopped;
  }

  /** A list that cannot be read now is read again in a second; what was known holds until then. */
  async #look(): Promise<void> {
    try {
      this.#keys = new Set(await this.#values.keys(SPACE));
    } catch (error) {
      emit("fault", () => ({ agent: this.#agentId, error: toHeraldError(error), where: "stops" }));
    }
  }
}
