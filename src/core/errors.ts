/**
 * Every error code of Herald. Programs branch on `code`, never on the message.
 * The value says whether trying again can help when nothing else is known.
 */
export const ERROR_CODES = {
  INVALID_ARGUMENT: false,
  INVALID_CHANNEL: false,
  INVALID_MANIFEST: false,
  UNSUPPORTED: false,
  NOT_FOUND: false,
  ALREADY_EXISTS: false,
  CONFLICT: true,
  NOT_CONNECTED: true,
  CLOSED: false,
  TIMEOUT: true,
  CANCELLED: false,
  OVERLOADED: true,
  CIRCUIT_OPEN: true,
  EXPIRED: false,
  DUPLICATE: false,
  MALFORMED: false,
  UNSERIALIZABLE: false,
  DEPTH_LIMIT: false,
  UNSAFE_PAYLOAD: false,
  MESSAGE_TOO_LARGE: false,
  /** A compressed body becomes larger than what is allowed. */
  DECOMPRESSION_LIMIT: false,
  HEADERS_TOO_LARGE: false,
  HOP_LIMIT: false,
  /** A conversation has used more than its budget. */
  BUDGET_EXCEEDED: false,
  /** The same payload went between the same two agents too often. */
  LOOP_DETECTED: false,
  /** An operator stopped the conversation. */
  CONVERSATION_STOPPED: false,
  SCHEMA_VIOLATION: false,
  UNSAFE_SCHEMA: false,
  /** A transform gave no result: it failed, or took more time, memory or room than it may. */
  TRANSFORM_FAILED: false,
  /** No routing rule takes the message, and the default route says that this is a dead letter. */
  UNROUTABLE: false,
  REJECTED: false,
  HANDLER_FAILED: true,
  HANDLER_TIMEOUT: true,
  NO_RESPONDER: true,
  DLQ_UNAVAILABLE: true,
  /** A publish whose outcome nobody knows: it may be stored. Published again with the same id and `dedupe` it is stored once. */
  PUBLISH_UNKNOWN: true,
  /** The storage cannot be trusted: a symbolic link, a foreign owner, open permissions, a network file system. */
  UNSAFE_STORAGE: false,
  /** No room left; what was acknowledged is safe, and it heals without a restart. */
  STORAGE_FULL: true,
  /** The storage was removed under the broker. */
  STORAGE_GONE: false,
  /** What is stored does not say any more what was written. */
  STORAGE_CORRUPT: false,
  /** Acknowledged messages are gone from the technology. */
  DATA_LOSS_DETECTED: false,
  /** A saga was undone, because a step of it failed for good. */
  SAGA_FAILED: false,
  /** A saga waits for a person to decide. */
  SAGA_STUCK: false,
  UNAUTHENTICATED: false,
  FORBIDDEN: false,
  INTERNAL: false,
} as const;

/** One of the codes of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** What an error may carry beside its sentence: the field, the limit, the channel. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** Optional parts of a {@link HeraldError}. */
export interface HeraldErrorOptions {
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
  /** Overrides what the code says about trying again. */
  readonly retryable?: boolean;
}

// Controls that JSON leaves as they are, format characters (bidirectional overrides, zero widths), line separators.
const INVISIBLE = /[\u007f-\u009f\u2028\u2029\p{Cf}]/gu;
const MARK = Symbol.for("herald.error");

/**
 * The one error class. `message` is one sentence that says what happened, why, and what to do.
 * `cause` keeps the technology's own error.
 */
export class HeraldError extends Error {
  readonly code: string;
  readonly retryable: boolean;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode | (string & {}), message: string, options: HeraldErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "HeraldError";
    this.code = code;
    this.retryable =
      options.retryable ?? (Object.hasOwn(ERROR_CODES, code) && ERROR_CODES[code as ErrorCode]);
    this.details = options.details ?? {};
    Object.defineProperty(this, MARK, { value: true });
  }
}

/** True for an error of Herald, also one made by another copy of the package. */
export function isHeraldError(value: unknown): value is HeraldError {
  try {
    return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[MARK] === true;
  } catch {
    // A proxy may refuse to be read.
    return false;
  }
}

/** A request got no answer in time; whether it was handled is unknown. Code `TIMEOUT`. */
export class RequestTimeoutError extends HeraldError {
  constructor(channel: string, timeoutMs: number) {
    super(
      "TIMEOUT",
      `No reply on '${channel}' within ${timeoutMs} ms; the request may still be handled. Raise timeoutMs, or send it again with the same id.`,
      {
        details: { channel, timeoutMs },
      },
    );
    this.name = "RequestTimeoutError";
  }
}

/** A request found nobody subscribed to its channel. Code `NO_RESPONDER`. */
export class NoResponderError extends HeraldError {
  constructor(channel: string) {
    super(
      "NO_RESPONDER",
      `Nobody answers on '${channel}'. Start the agent that handles it, or check the name.`,
      {
        details: { channel },
      },
    );
    this.name = "NoResponderError";
  }
}

/** The agent that answered reported a failure; `code` is the responder's own code. */
export class CommandError extends HeraldError {
  constructor(code: string, message: string, details: ErrorDetails = {}) {
    // Whether asking again helps is the responder's business; a handler that merely passes this on is retried.
    super(code, message, { details, retryable: true });
    this.name = "CommandError";
  }
}

/** Thrown by a handler: never this message. It is dead-lettered at once, whatever the retry policy says. Code `REJECTED`. */
export class RejectError extends HeraldError {
  constructor(reason: string, options: HeraldErrorOptions = {}) {
    super("REJECTED", reason, options);
    this.name = "RejectError";
  }
}

/** Thrown by a handler: again after `delayMs`, not counted as an attempt where the broker can keep count. */
export class SnoozeError extends HeraldError {
  readonly delayMs: number;

  constructor(delayMs: number) {
    super("CANCELLED", `Snoozed for ${delayMs} ms.`, { retryable: true, details: { delayMs } });
    this.name = "SnoozeError";
    this.delayMs = delayMs;
  }
}

/** A stream has another version than the writer expected: read what has come and decide again. Code `CONFLICT`. */
export class ConcurrencyError extends HeraldError {
  readonly stream: string;
  readonly expectedVersion: number;
  readonly actualVersion: number;

  constructor(stream: string, expectedVersion: number, actualVersion: number) {
    super(
      "CONFLICT",
      `Stream '${stream}' is at version ${actualVersion}, not at ${expectedVersion} as expected: read what was appended and decide again.`,
      { details: { stream, expectedVersion, actualVersion } },
    );
    this.name = "ConcurrencyError";
    this.stream = stream;
    this.expectedVersion = expectedVersion;
    this.actualVersion = actualVersion;
  }
}

/** Wraps whatever was thrown: a Herald error is kept, anything else gets `code` and becomes the cause. */
export function toHeraldError(thrown: unknown, code: ErrorCode = "INTERNAL"): HeraldError {
  if (isHeraldError(thrown)) return thrown;
  return new HeraldError(code, describeThrown(thrown), { cause: thrown });
}

/** One line for anything that can be thrown, also what is not an Error. Never throws. */
export function describeThrown(thrown: unknown): string {
  try {
    const said: unknown = thrown instanceof Error ? thrown.message || thrown.name : thrown;
    if (typeof said === "string") return oneLine(said);
    return `A value that is not an Error was thrown: ${showValue(said)}`;
  } catch {
    return "Something was thrown that cannot be shown.";
  }
}

/**
 * A value from outside as it is put into a sentence: one line of JSON where it can be, cut to `max` characters, with
 * characters that steer a terminal or turn the reading direction escaped. Never throws.
 */
export function showValue(value: unknown, max = 80): string {
  try {
    if (typeof value === "string") return escapeInvisible(JSON.stringify(cut(value, max)));
    const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
    return escapeInvisible(cut(text, max));
  } catch {
    return `a value of type ${typeof value}`;
  }
}

function escapeInvisible(text: string): string {
  return text.replaceAll(INVISIBLE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

function cut(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max)}…` : text;
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]+/g, " ");
}
