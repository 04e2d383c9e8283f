import type { Subscription } from "../core/broker.ts";
import { isWildcard } from "../core/pattern.ts";
import { createId } from "../core/ids.ts";
import { Consumer } from "../delivery/consumer.ts";
import { retryPolicy, type RetryPolicy } from "../delivery/retry.ts";
import { Settler } from "../delivery/settle.ts";
import type { Handling } from "../delivery/stages.ts";
import { compileFilter } from "../routing/filter.ts";
import { aboveZero, checkSubscribeOptions, whole } from "./check-options.ts";
import { requireAbility, type Need } from "./check.ts";
import { incomingCheck } from "./contracts.ts";
import { DeliveryGuarantee, type Listening, type SubscribeOptions } from "./options.ts";
import type { Runtime } from "./runtime.ts";
import { guaranteeOf, type Settings } from "./settings.ts";
import { transactionsOf, type Transactions } from "./transactions.ts";

/** Subscribes at the broker and starts consuming. Rejects with `INVALID_ARGUMENT`, `UNSAFE_SCHEMA`, `UNSUPPORTED`. */
export async function listen(
  runtime: Runtime,
  listening: Listening,
  group: string | null,
): Promise<Consumer> {
  const { pattern, options } = listening;
  const { settings, broker } = runtime;
  checkSubscribeOptions(options);
  const guarantee = guaranteeOf(options.guarantee ?? settings.guarantee, "guarantee");
  const policy = retryPolicy({ ...settings.retry, ...options.retry });
  checkAbilities(runtime, listening, { group, guarantee, policy });
  const concurrency = whole("maxConcurrency", options.maxConcurrency ?? settings.maxConcurrency);
  const prefetch = whole("prefetch", options.prefetch ?? Math.max(settings.prefetch, concurrency));
  const ordering = options.ordering ?? settings.ordering;
  const handlerTimeoutMs = aboveZero(
    "handlerTimeoutMs",
    options.handlerTimeoutMs ?? settings.handlerTimeoutMs,
  );
  const settler = new Settler({
    clock: settings.clock,
    meter: runtime.metrics,
    logger: settings.logger,
    agentId: settings.agentId,
    group,
    policy,
    deadLetterChannel: settings.deadLetterChannel,
    expiredToDlq: options.expiredToDlq ?? false,
    once: guarantee === DeliveryGuarantee.AT_MOST_ONCE,
    publish: (envelope) => runtime.publisher.publish(envelope, false),
  });
  const breaker = runtime.breakers.handler(pattern, options.circuitBreaker);
  let subscription: Subscription | undefined;
  const transactions = transactionsOf(runtime, guarantee, () => subscription as Subscription);
  const handling = handlingOf(runtime, listening, { group, guarantee, policy, settler, transactions });
  const from = options.from === undefined ? {} : { from: options.from };
  subscription = await broker.subscribe({ pattern, group, prefetch, ordering, ...from });
  const consumer = new Consumer({
    agentId: settings.agentId,
    subscription,
    handling,
    settler,
    concurrency,
    prefetch,
    handlerTimeoutMs,
    ackFirst: guarantee === DeliveryGuarantee.AT_MOST_ONCE,
    breaker,
    onClose: () => runtime.breakers.forget(breaker),
  });
  runtime.breakers.keep(breaker);
  consumer.start();
  return consumer;
}

interface Chosen {
  readonly group: string | null;
  readonly guarantee: DeliveryGuarantee;
}

function handlingOf(
  runtime: Runtime,
  listening: Listening,
  chosen: Chosen & {
    readonly policy: RetryPolicy;
    readonly settler: Settler;
    readonly transactions: Transactions;
  },
): Handling {
  const { options, pattern, handler } = listening;
  const { settings } = runtime;
  const { exactAttempts } = runtime.capabilitiesOf(pattern);
  const { group, guarantee, policy, settler } = chosen;
  // Where a release counts, or the message is acknowledged first, the count says nothing of attempts that failed.
  const isCounted = exactAttempts && guarantee !== DeliveryGuarantee.AT_MOST_ONCE;
  return {
    clock: settings.clock,
    codecs: runtime.codecs,
    group,
    scope: group ?? `${settings.agentId} ${createId()}`,
    counters: (channel) => settler.counters(channel),
    handler,
    filter: options.filter === undefined ? undefined : compileFilter(options.filter),
    validate: incomingCheck(options.schema, pattern),
    manual: isManual(settings, options),
    maxAttempts: isCounted ? policy.maxAttempts : Infinity,
    inbox: guarantee === DeliveryGuarantee.EXACTLY_ONCE ? runtime.inbox : undefined,
    ledger: () => runtime.effects,
    ...chosen.transactions,
    publishAll: runtime.publishAll.bind(runtime),
    spending: runtime.conversations.spending,
    stops: runtime.conversations.stops,
  };
}

function isManual(settings: Settings, options: SubscribeOptions): boolean {
  return options.ack === undefined ? settings.manualAck : options.ack === "manual";
}

function checkAbilities(
  runtime: Runtime,
  { pattern, options }: Listening,
  { group, guarantee, policy }: Chosen & { readonly policy: RetryPolicy },
): void {
  const { settings, broker } = runtime;
  const capabilities = runtime.capabilitiesOf(pattern);
  const need = (ability: Need["ability"], because: string): void =>
    requireAbility(broker.name, capabilities, {
      ability,
      agentId: settings.agentId,
      channel: pattern,
      because,
    });
  if (group === null) need("broadcast", "group: null");
  else need("groups", `group '${group}'`);
  if (isWildcard(pattern)) need("wildcard", "a pattern");
  if (options.from !== undefined && options.from !== "new") {
    need(
      typeof options.from === "object" && "time" in options.from ? "replayByTime" : "replayByPosition",
      "from",
    );
  }
  if ((options.ordering ?? settings.ordering) === "strict") need("ordering", "ordering: strict");
  if (guarantee !== DeliveryGuarantee.AT_MOST_ONCE && policy.maxAttempts > 1)
    need("nackDelay", "retry with backoff");
}
