import type { PriorityName } from "../../core/priority.ts";
import type { SchemaLike } from "../schema/model.ts";

/**
 * The two public spellings of an OSSA 0.3 manifest. D1 is the first 0.3.0/0.3.1 schema (`fixed`, command needs an input
 * schema, wildcards in `subscribes`); D2 is the released one (`constant`, snake_case aliases). Both read to one model.
 */
export type Dialect = "D1" | "D2";

/** One agent as its manifest declares it. A key that is optional here and was not written is absent. */
export interface AgentManifest {
  /** `metadata.name`. */
  readonly agentId: string;
  /** What people read: `metadata.displayName`, if there is one. */
  readonly agentName: string | undefined;
  /** As written, `ossa/v0.3.x`. */
  readonly apiVersion: string;
  readonly description?: string;
  readonly messaging: MessagingSpec;
  /** The file it was read from. */
  readonly file: string | undefined;
  readonly dialect: Dialect;
}

/** `spec.messaging`: what an agent publishes, subscribes to and answers, and how reliably. Absent lists are empty. */
export interface MessagingSpec {
  readonly publishes: readonly PublishedChannel[];
  readonly subscribes: readonly SubscribedChannel[];
  readonly commands: readonly CommandSpec[];
  readonly reliability: ReliabilitySpec;
}

/** A channel that an agent publishes to. */
export interface PublishedChannel {
  /** A channel name, without wildcards. */
  readonly channel: string;
  readonly description?: string;
  readonly schema?: SchemaLike;
  readonly examples?: readonly unknown[];
  readonly contentType?: string;
  readonly tags?: readonly string[];
}

/** What a subscription lets through. */
export interface FilterSpec {
  readonly expression?: string;
  /** By field: a value, a list of values (one of), or an object of operators. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** A channel that an agent listens to. */
export interface SubscribedChannel {
  /** A channel name or a pattern: `*` for one token, a last `#` for zero or more. */
  readonly channel: string;
  readonly description?: string;
  readonly schema?: SchemaLike;
  /** Name of the function that handles its messages. */
  readonly handler?: string;
  readonly filter?: FilterSpec;
  /** Which handler of one message comes first. Of no effect: each has a copy of its own and waits for none; it is not the message's priority. */
  readonly priority?: PriorityName;
  /** At least 1. */
  readonly maxConcurrency?: number;
}

/** A command that an agent answers on `agent.<agentId>.commands.<name>`. */
export interface CommandSpec {
  /** One token of a channel name. */
  readonly name: string;
  readonly description?: string;
  readonly inputSchema?: SchemaLike;
  readonly outputSchema?: SchemaLike;
  /** 1 to 3600. */
  readonly timeoutSeconds?: number;
  readonly idempotent?: boolean;
  readonly async?: boolean;
}

/** How long a failed delivery waits for the next. */
export interface BackoffSpec {
  readonly strategy?: "exponential" | "linear" | "constant";
  readonly initialDelayMs?: number;
  readonly maxDelayMs?: number;
  /** At least 1. */
  readonly multiplier?: number;
}

/** What becomes of a delivery that fails. */
export interface RetrySpec {
  /** Deliveries, the first one included: 3 means the handler runs at most three times. 1 means no retry; never 0. */
  readonly maxAttempts?: number;
  readonly backoff?: BackoffSpec;
}

/** Where messages go that are given up on. */
export interface DeadLetterSpec {
  readonly enabled?: boolean;
  /** Default `dlq.<agentId>`. */
  readonly channel?: string;
  /** 1 to 365. */
  readonly retentionDays?: number;
}

/** What order is kept. */
export interface OrderingSpec {
  readonly guarantee?: "none" | "per-source" | "per-channel" | "global";
  readonly timeoutSeconds?: number;
}

/** Who says that a message is handled. */
export interface AcknowledgmentSpec {
  readonly mode?: "auto" | "manual";
  readonly timeoutSeconds?: number;
}

/** `spec.messaging.reliability`: what was written and nothing else; defaults are the service's. */
export interface ReliabilitySpec {
  readonly deliveryGuarantee?: "at-most-once" | "at-least-once" | "exactly-once";
  readonly retry?: RetrySpec;
  readonly dlq?: DeadLetterSpec;
  readonly ordering?: OrderingSpec;
  readonly acknowledgment?: AcknowledgmentSpec;
}
