import { HeraldError, describeThrown, isHeraldError } from "../../core/errors.ts";
import { notOpen } from "../shared/lifecycle.ts";

/** Error codes of the Kafka protocol that are acted on. */
export const KAFKA = {
  OFFSET_OUT_OF_RANGE: 1,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  REQUEST_TIMED_OUT: 7,
  MESSAGE_TOO_LARGE: 10,
  COORDINATOR_NOT_AVAILABLE: 15,
  NOT_COORDINATOR: 16,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: 20,
  ILLEGAL_GENERATION: 22,
  UNKNOWN_MEMBER_ID: 25,
  REBALANCE_IN_PROGRESS: 27,
  TOPIC_ALREADY_EXISTS: 36,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  DUPLICATE_SEQUENCE_NUMBER: 46,
  INVALID_PRODUCER_EPOCH: 47,
  INVALID_TXN_STATE: 48,
  INVALID_PRODUCER_ID_MAPPING: 49,
  CONCURRENT_TRANSACTIONS: 51,
  UNKNOWN_PRODUCER_ID: 59,
  GROUP_ID_NOT_FOUND: 69,
  OFFSET_NOT_AVAILABLE: 78,
  MEMBER_ID_REQUIRED: 79,
  PRODUCER_FENCED: 90,
  UNKNOWN_TOPIC_ID: 100,
  TRANSACTION_ABORTABLE: 120,
} as const;

/** What the cluster answers while it is not ready, or when another node must be asked: nothing has happened. */
const TRANSIENT = new Set([
  2, 3, 5, 6, 8, 9, 13, 14, 15, 16, 19, 41, 56, 70, 71, 72, 74, 75, 78, 88, 89, 100, 103,
]);
const UNAUTHORIZED = new Set([29, 30, 31, 53]);

/** The client's error of one answer, as far as it is read here. */
interface ProtocolError {
  readonly apiCode?: unknown;
  readonly apiId?: unknown;
  readonly path?: unknown;
  readonly serverErrorMessage?: unknown;
}

/** What the server answered beside the errors, in the shape of that request; undefined when it answered nothing. */
export function responseOf(error: unknown): unknown {
  return (error as { readonly response?: unknown } | undefined)?.response;
}

/** Error codes of the Kafka protocol in an answer; empty when there was none. */
export function codesOf(error: unknown): readonly number[] {
  const all = (error as { readonly errors?: readonly ProtocolError[] } | undefined)?.errors;
  if (!Array.isArray(all)) return [];
  return all.flatMap(({ apiCode }: ProtocolError) => (typeof apiCode === "number" ? [apiCode] : []));
}

/** True when the cluster answered that it may be asked again: what was asked has not been done. */
export function isTransient(code: number): boolean {
  return TRANSIENT.has(code);
}

/** True when the server answered at all. */
export function wasAnswered(error: unknown): boolean {
  return codesOf(error).length > 0;
}

/** True when all that the server answered is that it may be asked again. */
export function mayAskAgain(error: unknown): boolean {
  const codes = codesOf(error);
  return codes.length > 0 && codes.every(isTransient);
}

/** The client's or the server's error as one of ours. */
export function kafkaError(error: unknown): HeraldError {
  if (isHeraldError(error)) return error;
  const [code] = codesOf(error);
  if (code !== undefined) return answered(code, nameOf(error), error);
  if (isAuthentication(error))
    return new HeraldError("UNAUTHENTICATED", `Kafka refuses these credentials: ${reason(error)}.`, {
      cause: error,
    });
  return new HeraldError(
    "NOT_CONNECTED",
    `Kafka does not answer: ${reason(error)}. It is tried again until it does.`,
    {
      cause: error,
    },
  );
}

/** An error code that the cluster answered, as one of ours. */
export function answered(code: number, name: string, cause?: unknown): HeraldError {
  const said = name === "" ? `error ${code}` : name;
  if (UNAUTHORIZED.has(code))
    return new HeraldError("FORBIDDEN", `Kafka answers ${said}: grant it in the cluster's ACLs.`, { cause });
  if (code === KAFKA.MESSAGE_TOO_LARGE)
    return new HeraldError(
      "MESSAGE_TOO_LARGE",
      `Kafka answers ${said}: raise max.message.bytes of the topic, or lower maxBodyBytes.`,
      { cause },
    );
  if (isTransient(code) || code === KAFKA.REQUEST_TIMED_OUT)
    return new HeraldError("NOT_CONNECTED", `Kafka is not ready: ${said}.`, { cause, retryable: true });
  return new HeraldError("INTERNAL", `Kafka refused a request: ${said}.`, { cause });
}

/** For a publish whose outcome nobody knows. */
export function unknownOutcome(cause?: unknown): HeraldError {
  const message = `Kafka did not answer in time whether the message is stored: it may be or not. Publish it again with the same id. (${reason(cause)})`;
  return new HeraldError("PUBLISH_UNKNOWN", message, { cause });
}

/** For what a process had in hand that others handle now. */
export function takenOver(): HeraldError {
  const message =
    "This process was silent for a session and others have taken over: what it had in hand comes again. Raise sessionTimeoutMs, or block the event loop less.";
  return new HeraldError("CONFLICT", message);
}

/** A broker that is not open, or not any more. */
export function closedError(): HeraldError {
  return notOpen("Kafka");
}

/** Nobody leads a partition now, or its topic is not known. */
export class Leaderless extends HeraldError {
  constructor() {
    super("NOT_CONNECTED", "A partition has no leader now. It is tried again until it has.");
  }
}

/** No connection stands now. */
export function notConnected(cause?: unknown): HeraldError {
  const why = cause === undefined ? "" : `: ${reason(cause)}`;
  return new HeraldError(
    "NOT_CONNECTED",
    `There is no connection to Kafka now${why}. It is tried again until there is.`,
    {
      cause,
    },
  );
}

function nameOf(error: unknown): string {
  const all = (error as { readonly errors?: readonly ProtocolError[] }).errors ?? [];
  const { apiId, serverErrorMessage } = all[0] ?? {};
  const said =
    typeof serverErrorMessage === "string" && serverErrorMessage !== "" ? ` (${serverErrorMessage})` : "";
  return `${typeof apiId === "string" ? apiId : ""}${said}`;
}

function isAuthentication(error: unknown): boolean {
  for (let one: unknown = error, depth = 0; one instanceof Error && depth < 4; one = one.cause, depth++)
    if ((one as { readonly code?: unknown }).code === "PLT_KFK_AUTHENTICATION") return true;
  return false;
}

/** The innermost cause says what happened. */
function reason(error: unknown): string {
  let one: unknown = error;
  for (let depth = 0; one instanceof Error && one.cause !== undefined && depth < 4; depth++) one = one.cause;
  return describeThrown(one ?? "no answer").replace(/\.$/, "");
}
