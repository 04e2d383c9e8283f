import type { Commit, Subscription } from "../../core/broker.ts";
import type { Delivery, Settlement } from "../../core/delivery.ts";
import { HeraldError } from "../../core/errors.ts";
import type { GroupQueue } from "../memory/group-queue.ts";
import { MemorySubscription, type SubscriptionHost } from "../memory/subscription.ts";
import { KafkaEntry } from "./entry.ts";
import { takenOver } from "./errors.ts";
import type { Unit } from "./unit.ts";

/** What a subscription needs of its broker. */
export interface KafkaSubscriptionHost extends SubscriptionHost {
  /** Places have changed: writes them now. */
  write(): void;
  /** Resolves when the places of these are written. Rejects when one could not be; it is tried again. */
  written(units: Iterable<Unit>): Promise<void>;
  /** Resolves when a commit has taken effect. */
  commit(unit: Unit, commit: Commit): Promise<void>;
  over(subscription: KafkaSubscription): void;
}

/** One member of a group. What is handed out is written down before the caller has it: an attempt that kills the process counts. */
export class KafkaSubscription implements Subscription {
  readonly group: string;
  readonly pattern: string;
  readonly queue: GroupQueue;
  readonly #inner: MemorySubscription;
  readonly #host: KafkaSubscriptionHost;
  #closed = false;

  constructor(
    spec: { readonly group: string; readonly pattern: string; readonly prefetch: number },
    queue: GroupQueue,
    host: KafkaSubscriptionHost,
  ) {
    this.group = spec.group;
    this.pattern = spec.pattern;
    this.queue = queue;
    this.#host = host;
    this.#inner = new MemorySubscription(queue, spec.prefetch, host);
    queue.members.add(this.#inner);
  }

  async receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    const deliveries = await this.#inner.receive(limit, waitMs);
    for (const delivery of deliveries) {
      const entry = delivery as KafkaEntry<Unit>;
      entry.owner.handed(entry);
    }
    if (deliveries.length > 0) this.#host.write();
    return deliveries;
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    if (settlements.length === 0) return;
    const isTakenOver = settlements.some(({ delivery }) => isLost(delivery));
    const units = new Set<Unit>();
    for (const { delivery } of settlements)
      if (delivery.receipt instanceof KafkaEntry) units.add((delivery.receipt as KafkaEntry<Unit>).owner);
    await this.#inner.settle(settlements);
    await this.#host.written(units);
    if (isTakenOver) throw takenOver();
  }

  /** Its place follows: a crash between the two brings it again, and the inbox says that it was handled. */
  async commit(commit: Commit): Promise<void> {
    const { delivery, writes } = commit;
    const closed = this.#host.closed();
    if (closed !== undefined) throw closed;
    const entry = delivery.receipt;
    if (!(entry instanceof KafkaEntry) || entry.holder !== this.#inner) throw notHere(commit.inbox.id);
    if (isLost(delivery)) throw takenOver();
    if (writes.values.length + writes.appends.length + writes.reads.length > 0) throw noStores();
    await this.#host.commit((entry as KafkaEntry<Unit>).owner, commit);
    // It is done, whatever becomes of its place.
    await this.settle([{ kind: "ack", delivery }]).catch(() => undefined);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.queue.members.delete(this.#inner);
    await this.#inner.close();
    this.#host.over(this);
  }

  /** The group was forgotten, or the broker closes: nothing more comes. */
  end(): void {
    this.#closed = true;
    this.queue.members.delete(this.#inner);
    void this.#inner.close();
  }
}

/** Another process may have it by now: whoever lost it must not think that it is settled. */
function isLost({ receipt }: Delivery): boolean {
  return (
    receipt instanceof KafkaEntry && receipt.holder !== null && (receipt as KafkaEntry<Unit>).owner.isLost
  );
}

function notHere(id: string): HeraldError {
  const message = `${id} is not this subscription's any more: it was settled before it was committed, and nothing was written.`;
  return new HeraldError("CONFLICT", message, { details: { id } });
}

function noStores(): HeraldError {
  const message =
    "Kafka keeps no values and event streams: a transaction there is of messages. Keep them on the file broker or Redis.";
  return new HeraldError("UNSUPPORTED", message, { details: { broker: "kafka" } });
}
