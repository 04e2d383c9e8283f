import type { Broker } from "../core/broker.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import { DEFAULT_LIMITS, type Limits } from "../core/limits.ts";
import { silentLogger, type Logger } from "../core/logger.ts";
import { checkAgentId, deadLetterChannel } from "../core/names.ts";
import { checkChannel } from "../core/pattern.ts";
import type { Inbox } from "../core/store.ts";
import type { RetryOptions } from "../delivery/retry.ts";
import { MemoryInbox } from "../stores/memory-inbox.ts";
import { brokerOf } from "./broker-url.ts";
import { parseMessaging } from "./manifest/parse-messaging.ts";
import type { MessagingSpec } from "./manifest/model.ts";
import { DeliveryGuarantee, type AnyHandler, type MessagingServiceOptions } from "./options.ts";

/** Everything a service runs with: options, manifest and defaults in that order. */
export interface Settings {
  readonly agentId: string;
  readonly agentName: string;
  readonly messaging: MessagingSpec;
  readonly handlers: Readonly<Record<string, AnyHandler>> | undefined;
  readonly broker: Broker;
  readonly closeBroker: boolean;
  readonly guarantee: DeliveryGuarantee;
  readonly retry: RetryOptions;
  /** Undefined: dead letters are switched off. */
  readonly deadLetterChannel: string | undefined;
  readonly deadLetterRetentionMs: number;
  readonly inbox: Inbox;
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
} as const;

/** Checks the options and fills in what the manifest and the defaults say. Throws `INVALID_ARGUMENT` or `INVALID_MANIFEST`, naming the field. */
export function settingsOf(options: MessagingServiceOptions): Settings {
  checkAgentId(options.agentId);
  const messaging = parseMessaging(options.messaging ?? {});
  const { reliability } = messaging;
  const clock = options.clock ?? systemClock;
  const numbers = Object.fromEntries(
    Object.entries(DEFAULTS).map(([name, value]) => [name, positive(name, options[name as keyof typeof DEFAULTS] ?? value)]),
  ) as Record<keyof typeof DEFAULTS, number>;
  const acknowledgmentMs = reliability.acknowledgment?.timeoutSeconds;
  if (options.handlerTimeoutMs === undefined && acknowledgmentMs !== undefined) numbers.handlerTimeoutMs = acknowledgmentMs * 1000;
  return {
    agentId: options.agentId,
    agentName: options.agentName ?? options.agentId,
    messaging,
    handlers: options.handlers,
    broker: brokerOf(options.broker),
    closeBroker: options.closeBroker ?? true,
    guarantee: guaranteeOf(options.defaultDeliveryGuarantee ?? reliability.deliveryGuarantee),
    retry: { ...reliability.retry, ...options.retry },
    ...deadLettersOf(options, messaging),
    inbox: options.inbox ?? new MemoryInbox({ clock }),
    manualAck: reliability.acknowledgment?.mode === "manual",
    ...orderOf(options, messaging),
    ...numbers,
    strict: options.strict ?? true,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    clock,
    logger: options.logger ?? silentLogger,
  };
}

/** A delivery guarantee by its name. */
export function guaranteeOf(name: string | undefined): DeliveryGuarantee {
  const known = Object.values(DeliveryGuarantee).find((value) => value === (name ?? DeliveryGuarantee.AT_LEAST_ONCE));
  if (known !== undefined) return known;
  throw wrong("guarantee", `one of ${Object.values(DeliveryGuarantee).join(", ")}, not '${name}'`);
}

function deadLettersOf(options: MessagingServiceOptions, messaging: MessagingSpec): Pick<Settings, "deadLetterChannel" | "deadLetterRetentionMs"> {
  const { enabled = true, channel = deadLetterChannel(options.agentId), retentionDays = 7 } = { ...messaging.reliability.dlq, ...options.dlq };
  checkChannel(channel);
  return {
    deadLetterChannel: enabled ? channel : undefined,
    deadLetterRetentionMs: positive("dlq.retentionDays", retentionDays) * DAY_MS,
  };
}

/** An order over a source or a channel is an order per key, with the source or the channel as the key. */
function orderOf(options: MessagingServiceOptions, messaging: MessagingSpec): Pick<Settings, "ordering" | "defaultKey"> {
  switch (messaging.reliability.ordering?.guarantee) {
    case "per-source":
      return { ordering: "strict", defaultKey: () => options.agentId };
    case "per-channel":
      return { ordering: "strict", defaultKey: (channel) => channel };
    case "global":
      throw new HeraldError("UNSUPPORTED", "ordering.guarantee 'global' is an order over all channels, which no broker here keeps: use per-channel or per-source.", {
        details: { field: "reliability.ordering.guarantee" },
      });
    default:
      return { ordering: "relaxed", defaultKey: undefined };
  }
}

function positive(field: string, value: number): number {
  if (typeof value === "number" && value > 0) return value;
  throw wrong(field, `a number above 0, not ${JSON.stringify(value)}`);
}

function wrong(field: string, expected: string): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}.`, { details: { field } });
}
