import { systemClock, type Clock } from "../../core/clock.ts";
import { createId, checkId, derivedId } from "../../core/ids.ts";
import type { PublishOptions } from "../../core/message.ts";
import { checkChannel } from "../../core/pattern.ts";
import { childTrace } from "../../core/trace.ts";
import { currentDelivery, type DeliveryContext } from "../../delivery/context.ts";
import { canonicalJson } from "../canonical.ts";
import type { Messaging } from "../messaging.ts";
import { OutboxRelay, type RelayOptions, type StoredOptions } from "./relay.ts";
import { OutboxTables, wrong, type SqlDatabase, type SqlStatement } from "./sql.ts";

/** Options of an outbox. */
export interface OutboxOptions {
  /** What its tables are called: this, and this with `_relay`. Default `herald_outbox`. */
  readonly table?: string;
  readonly clock?: Clock;
}

/** A statement to be run in the program's own transaction, and the id that the message will have. */
export interface OutboxStatement extends SqlStatement {
  readonly id: string;
}

/**
 * Messages that are written into the program's own database, in the transaction of what they tell of: both are committed or
 * neither. A relay publishes what was committed; what it publishes twice has the same id.
 */
export class Outbox {
  readonly #database: SqlDatabase;
  readonly #tables: OutboxTables;
  readonly #clock: Clock;
  /** How many messages each run of a handler has written. */
  readonly #written = new WeakMap<DeliveryContext, number>();

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(database: SqlDatabase, { table = "herald_outbox", clock = systemClock }: OutboxOptions = {}) {
    if (typeof database?.query !== "function")
      throw wrong("database", "an object with the method query", database);
    this.#database = database;
    this.#tables = new OutboxTables(database.dialect, table);
    this.#clock = clock;
  }

  /** The statements that make its tables, for a migration. */
  get schema(): readonly string[] {
    return this.#tables.schema;
  }

  /** Makes its tables where they are not there. Rejects with the database's own errors. */
  async createTables(): Promise<void> {
    for (const sql of this.schema) await this.#database.query(sql, []);
  }

  /**
   * The statement that leaves a message. Run it in the transaction that the message belongs to. In a handler the message is part
   * of the conversation, and one that the handler leaves again when it runs again has the same id. Throws `INVALID_CHANNEL`,
   * `INVALID_ARGUMENT`, `UNSERIALIZABLE`, `DEPTH_LIMIT`; whether the agent may publish it is looked at by the relay.
   */
  message(channel: string, payload: unknown, options: PublishOptions = {}): OutboxStatement {
    checkChannel(channel);
    const cause = currentDelivery.getStore();
    const id = options.id ?? this.#idOf(cause);
    checkId(id);
    const stored: StoredOptions = {
      at: Math.floor(this.#clock.now()),
      options: { ...(cause === undefined ? {} : conversationOf(cause, id)), ...options },
    };
    const statement = this.#tables.insert(id, channel, canonicalJson(payload), canonicalJson(stored));
    return { ...statement, id };
  }

  /** What publishes through a service. Any number of processes may have one: one of them relays, the others wait for its end. */
  relay(over: Messaging, options: RelayOptions = {}): OutboxRelay {
    return new OutboxRelay(
      { over, database: this.#database, tables: this.#tables, clock: this.#clock },
      options,
    );
  }

  #idOf(cause: DeliveryContext | undefined): string {
    if (cause === undefined) return createId(this.#clock.now());
    const count = this.#written.get(cause) ?? 0;
    this.#written.set(cause, count + 1);
    const { id } = cause.envelope;
    return derivedId(`outbox ${id} ${cause.agentId} ${cause.group} ${count}`, id);
  }
}

/** What is left in a handler belongs to the conversation of what it handles. */
function conversationOf({ envelope }: DeliveryContext, id: string): PublishOptions {
  const traceparent = childTrace(envelope, id);
  return {
    correlationId: envelope.correlationId ?? envelope.id,
    causationId: envelope.id,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}
