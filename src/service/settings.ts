import type { CodecPlan } from "../codec/codecs.ts";
import type { Broker } from "../core/broker.ts";
import type { Budget } from "../core/budget.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkAgentId, deadLetterChannel } from "../core/names.ts";
import { isChannelName } from "../core/pattern.ts";
import type { Inbox } from "../core/store.ts";
import { checkBudget } from "../delivery/budget.ts";
import { retryPolicy, type RetryOptions } from "../delivery/retry.ts";
import { MemoryInbox } from "../stores/memory-inbox.ts";
import { breakerPlan, type BreakerPlan } from "./breakers.ts";
import { brokerSource, type BrokerSource } from "./broker-url.ts";
import { aboveZero, notNegative, whole, withMethods, wrongOption } from "./check-options.ts";
import { effectSettings, type EffectSettings } from "./effect-settings.ts";
import { codecPlanOf } from "./encoding.ts";
import { parseMessaging } from "./manifest/parse-messaging.ts";
import type { MessagingSpec } from "./manifest/model.ts";
import type { Routing } from "./routes/routing.ts";
import { DeliveryGuarantee, type AnyHandler, type MessagingServiceOptions } from "./options.ts";

/** Everything a service runs with: options, manifest and defaults in that order. */
export interface Settings {
  readonly agentId: string;
  readonly agentName: string;
  readonly messaging: MessagingSpec;
  readonly handlers: Readonly<Record<string, AnyHandler>> | undefined;
  readonly broker: BrokerSource;
  readonly closeBroker: boolean;
  readonly guarantee: DeliveryGuarantee;
  readonly retry: RetryOptions;
  /** Undefined: dead letters are switched off. */
  readonly deadLetterChannel: string | undefined;
  readonly deadLetterRetentionMs: number;
  /** The record behind exactly-once: the one handed in, else the broker's own, else one in memory. */
  readonly inbox: (broker: Broker) => Inbox;
  /** True: that record is the program's, and no broker's. */
  readonly hasOwnInbox: boolean;
  readonly effects: EffectSettings;
  readonly manualAck: boolean;
  readonly ordering: "relaxed" | "strict";
  readonly defaultKey: ((channel: string) => string) | undefined;
  readonly maxConcurrency: number;
  readonly prefetch: number;
  readonly handlerTimeoutMs: number;
  readonly publishTimeoutMs: number;
  readonly maxPendingPublishes: number;
  readonly gracePeriodMs: number;
  readonly stalledAfterMs: number;
  readonly strict: boolean;
  readonly limits: Limits;
  readonly codecs: CodecPlan;
  readonly breakers: BreakerPlan;
  readonly budget: Budget | undefined;
  readonly stoppable: boolean;
  readonly provenance: boolean;
  readonly routing: Routing | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

const DAY_MS = 86_400_000;
const DEFAULTS = {
  maxConcurrency: 10,
  prefetch: 100,
  handlerTimeoutMs: 300_000,
  publishTimeoutMs: 30_000,
  maxPendingPublishes: 100_000,
  gracePeriodMs: 10_000,
  stalledAfterMs: 90_000,
};

/** Checks the options and fills in what the manifest and the defaults say. Throws `INVALID_ARGUMENT` or `INVALID_MANIFEST`, naming the field. */
export function settingsOf(options: MessagingServiceOptions): Settings {
  checkAgentId((options as MessagingServiceOptions | undefined)?.agentId);
  const messaging = parseMessaging(options.messaging ?? {});
  const { reliability } = messaging;
  const clock = withMethods("clock", options.clock ?? systemClock, ["now", "monotonic", "setTimer"]);
  return {
    agentId: options.agentId,
    agentName: options.agentName ?? options.agentId,
    messaging,
    handlers: options.handlers,
    broker: brokerSource(options.broker, clock),
    closeBroker: options.closeBroker ?? true,
    guarantee: guaranteeOf(
      options.defaultDeliveryGuarantee ?? reliability.deliveryGuarantee,
      "defaultDeliveryGuarantee",
    ),
    retry: retryOf({ ...reliability.retry, ...options.retry }),
    ...deadLettersOf(options, messaging),
    inbox: inboxSource(options.inbox, clock),
    hasOwnInbox: options.inbox !== undefined,
    effects: effectSettings(options.effects),
    manualAck: reliability.acknowledgment?.mode === "manual",
    ...orderOf(options, messaging),
    ...numbersOf(options, messaging),
    strict: options.strict ?? true,
    limits: limitsOf(options.limits),
    codecs: codecPlanOf(options, messaging),
    breakers: breakerPlan(options.circuitBreaker),
    budget: budgetOf(options.budget),
    stoppable: options.stoppable ?? true,
    provenance: options.provenance ?? false,
    routing:
      options.routing === undefined
        ? undefined
        : withMethods("routing", options.routing, ["payloadFor", "explain"]),
    clock,
    logger: withMethods("logger", options.logger ?? silentLogger, ["debug", "info", "warn", "error"]),
  };
}

function numbersOf(options: MessagingServiceOptions, { reliability }: MessagingSpec): typeof DEFAULTS {
  const { timeoutSeconds } = reliability.acknowledgment ?? {};
  const fromManifest = timeoutSeconds === undefined ? {} : { handlerTimeoutMs: timeoutSeconds * 1000 };
  const defaults: Record<string, number> = { ...DEFAULTS, ...fromManifest };
  const given = options as unknown as Readonly<Record<string, number | undefined>>;
  const numbers = Object.entries(defaults).map(([name, value]) => {
    const check = name === "maxConcurrency" || name === "prefetch" ? whole : aboveZero;
    return [name, check(name, given[name] ?? value)] as const;
  });
  return Object.fromEntries(numbers) as typeof DEFAULTS;
}

function budgetOf(given: Budget | undefined): Budget | undefined {
  if (given !== undefined) checkBudget(given);
  return given;
}

function limitsOf(given: Partial<Limits> = {}): Limits {
  const { maxMessageBytes = DEFAULT_LIMITS.maxMessageBytes } = given;
  const limits = { ...DEFAULT_LIMITS, maxDecompressedBytes: maxMessageBytes, ...given };
  for (const [name, value] of Object.entries(limits)) notNegative(`limits.${name}`, value);
  return limits;
}

function inboxSource(given: Inbox | undefined, clock: Clock): (broker: Broker) => Inbox {
  if (given !== undefined) withMethods("inbox", given, ["claim", "commit", "abandon"]);
  // Made once: a service that stops and starts again remembers what it handled.
  let inMemory: Inbox | undefined;
  return (broker) => given ?? broker.createInbox?.({}) ?? (inMemory ??= new MemoryInbox({ clock }));
}

/** The policy is made again for every subscription; what cannot be one is refused here. */
function retryOf(retry: RetryOptions): RetryOptions {
  retryPolicy(retry);
  return retry;
}

/** A delivery guarantee by its name; throws `INVALID_ARGUMENT` naming the field. */
export function guaranteeOf(name: string | undefined, field: string): DeliveryGuarantee {
  const known = Object.values(DeliveryGuarantee).find(
    (value) => value === (name ?? DeliveryGuarantee.AT_LEAST_ONCE),
  );
  if (known !== undefined) return known;
  throw wrongOption(field, `one of ${Object.values(DeliveryGuarantee).join(", ")}`, name);
}

function deadLettersOf(
  options: MessagingServiceOptions,
  messaging: MessagingSpec,
): Pick<Settings, "deadLetterChannel" | "deadLetterRetentionMs"> {
  const {
    enabled = true,
    channel = deadLetterChannel(options.agentId),
    retentionDays = 7,
  } = { ...messaging.reliability.dlq, ...options.dlq };
  if (!isChannelName(channel)) throw wrongOption("dlq.channel", "a channel name", channel);
  return {
    deadLetterChannel: enabled ? channel : undefined,
    deadLetterRetentionMs: aboveZero("dlq.retentionDays", retentionDays) * DAY_MS,
  };
}

/** An order over a source or a channel is an order per key, with the source or the channel as the key. */
function orderOf(
  options: MessagingServiceOptions,
  messaging: MessagingSpec,
): Pick<Settings, "ordering" | "defaultKey"> {
  switch (messaging.reliability.ordering?.guarantee) {
    case "per-source":
      return { ordering: "strict", defaultKey: () => options.agentId };
    case "per-channel":
      return { ordering: "strict", defaultKey: (channel) => channel };
    case "global":
      throw new HeraldError(
        "UNSUPPORTED",
        "ordering.guarantee 'global' is an order over all channels, which no broker here keeps: use per-channel or per-source.",
        {
          details: { field: "reliability.ordering.guarantee" },
        },
      );
    default:
      return { ordering: "relaxed", defaultKey: undefined };
  }
}
