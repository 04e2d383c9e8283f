import type { Broker } from "../core/broker.ts";
import type { Budget } from "../core/budget.ts";
import { HeraldError } from "../core/errors.ts";
import { checkId } from "../core/ids.ts";
import type { Stores } from "../core/store.ts";
import { isCounted } from "../delivery/budget.ts";
import { Ledger, type Used } from "../delivery/ledger.ts";
import type { SpendingSource } from "../delivery/spending.ts";
import { Stops } from "../delivery/stops.ts";
import { verifyConversation, type Provenance } from "../patterns/provenance.ts";
import type { Settings } from "./settings.ts";
import { keepsStores, storesOfBroker } from "./stores.ts";

/** Conversations of a broker: what they used, and an end to them. By their correlation id. */
export class Conversations {
  /** What the handlers of this service charge. */
  readonly spending: SpendingSource;
  /** Undefined where the broker keeps no values, or the service is not to look. */
  readonly stops: Stops | undefined;
  readonly #broker: Broker;
  readonly #settings: Settings;
  #ledger: Ledger | undefined;

  constructor(broker: Broker, settings: Settings) {
    this.#broker = broker;
    this.#settings = settings;
    const { agentId, clock, stoppable } = settings;
    this.spending = {
      agentId,
      now: () => clock.now(),
      ledger: () => this.#book(),
      counted: new Set(),
    };
    this.stops = stoppable && keepsStores(broker) ? this.#list() : undefined;
  }

  /**
   * Stops a conversation: its messages go to the dead letters (`CONVERSATION_STOPPED`), in every process of the broker, within two
   * seconds; handlers that run end as ever. Rejects with `UNSUPPORTED` where the broker keeps no values.
   */
  async stop(correlationId: string): Promise<void> {
    checkCorrelation(correlationId);
    await (this.stops ?? this.#list()).stop(correlationId);
  }

  /** Lets a stopped conversation go on; what lies in the dead letters can be redriven. False: it was not stopped. */
  async release(correlationId: string): Promise<boolean> {
    checkCorrelation(correlationId);
    return (this.stops ?? this.#list()).release(correlationId);
  }

  /** What a conversation with a budget has used so far. Rejects with `UNSUPPORTED` where the broker keeps no values. */
  async used(correlationId: string): Promise<Used> {
    const { messages, spend } = await this.#book().read(correlationId);
    return { messages, spend };
  }

  /**
   * Are the messages of a conversation, as its channels retain them, what was published with `provenance`? Names the first that is not.
   * Rejects with `UNSUPPORTED` where the broker cannot list what its channels hold.
   */
  async verify(correlationId: string): Promise<Provenance> {
    checkCorrelation(correlationId);
    const { admin, name } = this.#broker;
    if (admin !== undefined) return verifyConversation(admin, correlationId);
    const message = `The broker '${name}' cannot list what its channels hold, so that no conversation can be read again.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { broker: name } });
  }

  /** Throws `UNSUPPORTED` for a budget that must be kept where all agents see it, on a broker that keeps no values. */
  require(budget: Budget): void {
    if (isCounted(budget)) this.#book();
  }

  #book(): Ledger {
    return (this.#ledger ??= new Ledger(
      this.#stores("a budget of messages or spending").values,
      this.#settings.clock,
    ));
  }

  #list(): Stops {
    return new Stops(
      this.#stores("stopping a conversation").values,
      this.#settings.clock,
      this.#settings.agentId,
    );
  }

  #stores(because: string): Stores {
    if (keepsStores(this.#broker)) return storesOfBroker(this.#broker);
    const { name } = this.#broker;
    const message = `The broker '${name}' keeps no values, which ${because} needs: use memory, file or redis.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { broker: name } });
  }
}

function checkCorrelation(id: string): void {
  if (typeof id === "string" && id !== "" && id.length <= 1024) return;
  checkId(id, "correlationId");
}
