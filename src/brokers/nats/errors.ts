import { HeraldError, describeThrown, isHeraldError, type ErrorCode } from "../../core/errors.ts";
import { notOpen } from "../shared/lifecycle.ts";

/** What the server says in an answer of its JetStream API, or to a publish. */
export interface ApiErrorBody {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** JetStream has answered, and refused. */
export class ApiRefusal extends Error {
  readonly code: number;
  readonly errCode: number;

  constructor({ code, err_code = 0, description = "no reason" }: ApiErrorBody) {
    super(description);
    this.name = "ApiRefusal";
    this.code = code;
    this.errCode = err_code;
  }
}

/** Nobody serves the subject: the stream or the consumer is not there, or JetStream is not. Surely not carried out. */
export class NobodyServes extends Error {
  constructor(subject: string) {
    super(`nobody serves '${subject}'`);
    this.name = "NobodyServes";
  }
}

/** The connection was lost, or the answer stayed out. */
export class CutOff extends Error {
  override name = "CutOff";
}

// Error codes of the server, as its errors.json numbers them.
const STREAM_NOT_FOUND = 10_059;
const CONSUMER_NOT_FOUND = 10_014;
const CONSUMER_EXISTS = 10_148;
const CONSUMER_NAME_EXISTS = 10_013;
const STREAM_NAME_EXISTS = 10_058;
const NO_SPACE = new Set([10_023, 10_028, 10_047, 10_026, 10_002, 10_077, 10_122, 10_123]);
const NOT_ENABLED = new Set([10_039, 10_076]);

/** True when the stream of a request is not there. */
export function isStreamMissing(error: unknown): boolean {
  return error instanceof NobodyServes || (error instanceof ApiRefusal && error.errCode === STREAM_NOT_FOUND);
}

/** True when the consumer of a request, or its stream, is not there. */
export function isConsumerMissing(error: unknown): boolean {
  return isStreamMissing(error) || (error instanceof ApiRefusal && error.errCode === CONSUMER_NOT_FOUND);
}

/** True when what was to be made is there already, with another configuration. */
export function isThereAlready(error: unknown): boolean {
  return (
    error instanceof ApiRefusal &&
    [CONSUMER_EXISTS, CONSUMER_NAME_EXISTS, STREAM_NAME_EXISTS].includes(error.errCode)
  );
}

/** The client's or the server's error as one of ours. What was cut off is `NOT_CONNECTED`; see {@link publishError} for publishes. */
export function natsError(error: unknown): HeraldError {
  if (isHeraldError(error)) return error;
  const said = describeThrown(error);
  const make = (code: ErrorCode, message: string) => new HeraldError(code, message, { cause: error });
  if (error instanceof ApiRefusal) {
    if (NO_SPACE.has(error.errCode) || /insufficient|exceeded|no space/i.test(error.message))
      return make(
        "STORAGE_FULL",
        `JetStream takes no more: ${said} Free storage, or raise the limits of the account.`,
      );
    if (NOT_ENABLED.has(error.errCode))
      return make(
        "UNSUPPORTED",
        `JetStream is not enabled on this NATS server or account: ${said} Set jetstream in its configuration.`,
      );
    if (error.code === 503 || error.code === 429)
      return make("NOT_CONNECTED", `JetStream is not ready: ${said}`);
    return make("INTERNAL", `JetStream refused a request: ${said}`);
  }
  if (error instanceof NobodyServes)
    return make("NOT_CONNECTED", `JetStream does not answer: ${said} It is tried again until it does.`);
  const name = error instanceof Error ? error.name : "";
  if (
    /AuthorizationError|AuthenticationError|UserAuthentication|AuthenticationExpired|AuthenticationTimeout/i.test(
      `${name} ${said}`,
    ) ||
    /authorization violation|authentication/i.test(said)
  )
    return make(
      "UNAUTHENTICATED",
      `NATS refuses these credentials: ${said} Correct user, password or token.`,
    );
  if (/PermissionViolation/i.test(name))
    return make("FORBIDDEN", `The NATS user may not do this: ${said} Grant it in the server's permissions.`);
  return make("NOT_CONNECTED", `NATS does not answer: ${said} It is tried again until it does.`);
}

/** What a publish failed with. One that was cut off is `PUBLISH_UNKNOWN`: it may be stored. */
export function publishError(error: unknown): HeraldError {
  if (!(error instanceof CutOff)) return natsError(error);
  const message = `The connection broke before NATS answered: the message may be stored or not. Publish it again with the same id and dedupe. (${describeThrown(error)})`;
  return new HeraldError("PUBLISH_UNKNOWN", message, { cause: error });
}

/** A broker that is not open, or not any more. */
export function closedError(): HeraldError {
  return notOpen("NATS");
}

/** No connection stands now. */
export function notConnected(cause?: unknown): HeraldError {
  const why = cause === undefined ? "" : `: ${describeThrown(cause)}`;
  const message = `There is no connection to NATS now${why}. It is tried again until there is.`;
  return new HeraldError("NOT_CONNECTED", message, { cause });
}
