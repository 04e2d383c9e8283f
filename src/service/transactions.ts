import type { Broker, Subscription } from "../core/broker.ts";
import { HeraldError } from "../core/errors.ts";
import type { Stores } from "../core/store.ts";
import type { Handling } from "../delivery/stages.ts";
import { noStores } from "../stores/no-stores.ts";
import { PendingStores } from "../stores/transaction.ts";
import { DeliveryGuarantee } from "./options.ts";
import type { Runtime } from "./runtime.ts";
import { keepsStores, storesOfBroker } from "./stores.ts";

/** How what a handler writes through `context.tx` is begun and committed. */
export type Transactions = Pick<Handling, "begin" | "commit" | "commitsAll">;

/** Transactions of one subscription; to begin one throws `UNSUPPORTED` where none can be had. */
export function transactionsOf(
  runtime: Runtime,
  guarantee: DeliveryGuarantee,
  subscription: () => Subscription,
): Transactions {
  return {
    begin() {
      if (guarantee !== DeliveryGuarantee.EXACTLY_ONCE)
        throw unsupported(`it belongs to the guarantee 'exactly-once', and this is '${guarantee}'`);
      if (runtime.settings.hasOwnInbox)
        throw unsupported("the inbox that the service was given is no part of the broker");
      if (subscription().commit === undefined)
        throw unsupported(
          `the broker '${runtime.broker.name}' cannot write values, messages and the acknowledgement in one step. Use the file broker, one Redis server or, for what is published, Kafka, context.effect for single calls, or Outbox of herald/patterns for a database of your own`,
        );
      return new PendingStores(storesFor(runtime.broker));
    },
    commitsAll: () => !runtime.settings.hasOwnInbox && subscription().isCommitCheap === true,
    commit: (commit) =>
      runtime.publisher.commit(commit.envelopes, async () => subscription().commit?.(commit)),
  };
}

function storesFor(broker: Broker): Stores {
  return keepsStores(broker) ? storesOfBroker(broker) : noStores(broker.name);
}

function unsupported(why: string): HeraldError {
  return new HeraldError("UNSUPPORTED", `There is no context.tx here: ${why}.`);
}
