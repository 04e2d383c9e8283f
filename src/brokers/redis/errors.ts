import { HeraldError, describeThrown, isHeraldError } from "../../core/errors.ts";
import { notOpen } from "../shared/lifecycle.ts";

/** What the client throws when a command was never written to a connection. */
const NEVER_SENT = new Set(["ClientOfflineError", "ClientClosedError"]);
/** How the client names an error that the server answered. */
const REPLIES = new Set(["SimpleError", "BlobError", "ErrorReply", "MultiErrorReply"]);

/** The first word of an error that the server answered, or the empty text. */
export function replyCode(error: unknown): string {
  if (!REPLIES.has(nameOf(error))) return "";
  return /^[A-Z]+\b/.exec((error as Error).message)?.[0] ?? "ERR";
}

/** True when the server answered the command: what it refused, it has not done. */
export function wasAnswered(error: unknown): boolean {
  return replyCode(error) !== "";
}

/** True when the command has surely not reached the server. */
export function wasNeverSent(error: unknown): boolean {
  return NEVER_SENT.has(nameOf(error));
}

/** The client's or the server's error as one of ours. A command that was cut off is `NOT_CONNECTED`; see {@link publishError} for publishes. */
export function redisError(error: unknown): HeraldError {
  if (isHeraldError(error)) return error;
  const code = replyCode(error);
  const said = describeThrown(error);
  const make = (ours: string, message: string, retryable?: boolean) =>
    new HeraldError(ours, message, { cause: error, ...(retryable === undefined ? {} : { retryable }) });
  switch (code) {
    case "OOM":
    case "MISCONF":
      return make(
        "STORAGE_FULL",
        `Redis takes no more writes: ${said} Free memory or disk, or raise maxmemory.`,
      );
    case "NOAUTH":
    case "WRONGPASS":
      return make("UNAUTHENTICATED", `Redis refuses these credentials: ${said}`);
    case "NOPERM":
      return make("FORBIDDEN", `The Redis user may not do this: ${said} Grant it in the server's ACL.`);
    case "LOADING":
    case "BUSY":
    case "CLUSTERDOWN":
    case "MASTERDOWN":
    case "READONLY":
    case "TRYAGAIN":
    case "MOVED":
    case "ASK":
    case "NOREPLICAS":
      return make("NOT_CONNECTED", `Redis is not ready: ${said}`, true);
    case "":
      return make("NOT_CONNECTED", `Redis does not answer: ${said} It is tried again until it does.`);
    default:
      return make("INTERNAL", `Redis refused a command: ${said}`);
  }
}

/** What a publish failed with. One that was cut off is `PUBLISH_UNKNOWN`: it may be stored. */
export function publishError(error: unknown): HeraldError {
  if (isHeraldError(error)) return error;
  if (wasNeverSent(error) || wasAnswered(error)) return redisError(error);
  const message = `The connection broke before Redis answered: the message may be stored or not. Publish it again with the same id and dedupe. (${describeThrown(error)})`;
  return new HeraldError("PUBLISH_UNKNOWN", message, { cause: error });
}

/** A broker that is not open, or not any more. */
export function closedError(): HeraldError {
  return notOpen("Redis");
}

/** No connection stands now. */
export function notConnected(cause?: unknown): HeraldError {
  const why = cause === undefined ? "" : `: ${describeThrown(cause)}`;
  return new HeraldError(
    "NOT_CONNECTED",
    `There is no connection to Redis now${why}. It is tried again until there is.`,
    {
      cause,
    },
  );
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : "";
}
