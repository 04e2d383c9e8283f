import { HeraldError } from "../core/errors.ts";
import type { Logger } from "../core/logger.ts";
import type { Message } from "../core/message.ts";
import { BROADCAST_CHANNEL } from "../core/names.ts";
import { checkChannel } from "../core/pattern.ts";
import type { MessagingSpec } from "./manifest/model.ts";
import { compileSchema } from "./schema/compile-schema.ts";
import type { SchemaIssue, SchemaLike, ValidationResult, Validator } from "./schema/model.ts";

/** What publishing is held to. */
export interface PublishContractOptions {
  readonly agentId: string;
  readonly messaging: MessagingSpec;
  readonly strict: boolean;
  readonly logger: Logger;
}

/** Channels that need no declaration: they belong to the runtime's own conversations. */
const EXEMPT = ["agent.", "agent-", "reply."];
/** Names remembered so that each is warned of once; bounded, so that a flood of names costs no memory. */
const MAX_WARNED = 10_000;
/** Channels that only Herald itself publishes to. */
const RESERVED = ["system.", "dlq."];

/** Holds an agent to what its manifest says that it publishes. */
export class PublishContract {
  readonly #options: PublishContractOptions;
  readonly #validators = new Map<string, Validator | undefined>();
  readonly #defined = new WeakMap<object, Validator>();
  readonly #warned = new Set<string>();
  readonly #declares: boolean;

  constructor(options: PublishContractOptions) {
    this.#options = options;
    const { publishes } = options.messaging;
    this.#declares = publishes.length > 0;
    for (const { channel, schema } of publishes) {
      this.#validators.set(
        channel,
        schema === undefined ? undefined : compileSchema(schema, { name: channel }),
      );
    }
  }

  /**
   * Nothing if the payload may be published, at once unless its Standard Schema answers later. Throws or rejects with `FORBIDDEN` (reserved,
   * or not declared in strict mode) or `SCHEMA_VIOLATION` with the failing paths. The manifest's schema holds before
   * `defined`, that of the channel's definition in code.
   */
  check(channel: string, payload: unknown, defined?: SchemaLike): void | Promise<void> {
    if (!this.#validators.has(channel)) this.#undeclared(channel);
    const validator = this.#validators.get(channel) ?? this.#definedBy(defined, channel);
    if (validator === undefined) return undefined;
    // What a schema makes of the payload is for the handler, which validates it again: the author's own value travels.
    const result = validator.validate(payload);
    if (result instanceof Promise) return result.then((late) => void accepted(late, channel));
    accepted(result, channel);
    return undefined;
  }

  /** The validator of a channel's definition in code, compiled once. */
  #definedBy(schema: SchemaLike | undefined, channel: string): Validator | undefined {
    if (schema === undefined || typeof schema === "boolean") return undefined;
    let validator = this.#defined.get(schema);
    if (validator === undefined) {
      validator = compileSchema(schema, { name: channel });
      this.#defined.set(schema, validator);
    }
    return validator;
  }

  #undeclared(channel: string): void {
    const { agentId, strict, logger } = this.#options;
    const reserved = RESERVED.find((prefix) => channel.startsWith(prefix));
    if (reserved !== undefined) {
      const message = `'${channel}' is reserved for Herald itself: publish to a channel without the prefix '${reserved}'.`;
      throw new HeraldError("FORBIDDEN", message, { details: { channel } });
    }
    if (!this.#declares || channel === BROADCAST_CHANNEL) return;
    if (EXEMPT.some((prefix) => channel.startsWith(prefix))) return;
    // What is no name at all cannot be declared either.
    checkChannel(channel);
    const message = `Agent '${agentId}' publishes to '${channel}', which its manifest does not declare: add it to spec.messaging.publishes, or set strict: false.`;
    if (strict) throw new HeraldError("FORBIDDEN", message, { details: { agentId, channel } });
    if (this.#warned.has(channel)) return;
    if (this.#warned.size >= MAX_WARNED) this.#warned.clear();
    this.#warned.add(channel);
    logger.warn({ agentId, channel }, message);
  }
}

/** A check of incoming messages against a schema; it throws, or rejects with, `SCHEMA_VIOLATION`. */
export function incomingCheck(
  schema: SchemaLike | undefined,
  name: string,
): ((message: Message) => void | Promise<void>) | undefined {
  if (schema === undefined) return undefined;
  const validator = compileSchema(schema, { name });
  return (message) => {
    const result = validator.validate(message.payload);
    if (result instanceof Promise)
      return result.then((late) => replacePayload(message, accepted(late, message.channel)));
    return replacePayload(message, accepted(result, message.channel));
  };
}

/** A check of one value, for command input and output; undefined without a schema. It gives the value, perhaps later. */
export function valueCheck(
  schema: SchemaLike | undefined,
  name: string,
): ((value: unknown) => unknown) | undefined {
  if (schema === undefined) return undefined;
  const validator = compileSchema(schema, { name });
  return (value) => {
    const result = validator.validate(value);
    return result instanceof Promise ? result.then((late) => accepted(late, name)) : accepted(result, name);
  };
}

/** A Standard Schema may change what it validates: the handler gets what came out of it. */
function replacePayload(message: Message, payload: unknown): void {
  if (payload !== message.payload) (message as { payload: unknown }).payload = payload;
}

function accepted(result: ValidationResult, name: string): unknown {
  if (result.ok) return result.value;
  throw new HeraldError(
    "SCHEMA_VIOLATION",
    `The payload on '${name}' does not match its schema: ${describe(result.issues)}.`,
    {
      details: { channel: name, issues: result.issues },
    },
  );
}

function describe(issues: readonly SchemaIssue[]): string {
  const shown = issues
    .slice(0, 3)
    .map(({ path, message }) => `${path === "" ? "the value" : path} ${message}`);
  if (issues.length > shown.length) shown.push(`and ${issues.length - shown.length} more`);
  return shown.join("; ");
}
