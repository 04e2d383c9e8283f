import { HeraldError, describeThrown, isHeraldError, type ErrorCode } from "../../core/errors.ts";
import { notOpen } from "../shared/lifecycle.ts";

/** The connection or the channel was lost, or the answer stayed out. */
export class CutOff extends Error {
  override name = "CutOff";
}

// Reply codes of AMQP 0-9-1, section 1.1 of its reference.
const REFUSED = 403;
const NOT_FOUND = 404;
const LOCKED = 405;
const PRECONDITION = 406;
const NOT_ALLOWED = 530;

/** True when a queue or an exchange is not there. */
export function isMissing(error: unknown): boolean {
  return codeOf(error) === NOT_FOUND && !isStarting(error);
}

/** True when a queue or an exchange is there, made in another way. */
export function isOtherwise(error: unknown): boolean {
  return codeOf(error) === PRECONDITION && !isStarting(error);
}

/** True when a stream or a queue was declared, or its server started, so lately that nothing serves it yet. */
export function isStarting(error: unknown): boolean {
  return /does not have a running replica|is down or inaccessible|is stopped/i.test(describeThrown(error));
}

function codeOf(error: unknown): number {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === "number" ? code : 0;
}

/** The client's or the server's error as one of ours. What was cut off is `NOT_CONNECTED`; see {@link publishError} for publishes. */
export function rabbitError(error: unknown): HeraldError {
  if (isHeraldError(error)) return error;
  const said = describeThrown(error);
  const make = (code: ErrorCode, message: string) => new HeraldError(code, message, { cause: error });
  if (/ACCESS[-_]REFUSED/i.test(said) && /handshake|login/i.test(said))
    return make("UNAUTHENTICATED", `RabbitMQ refuses these credentials: ${said} Correct user and password.`);
  if (isStarting(error))
    return make(
      "NOT_CONNECTED",
      `RabbitMQ has only begun to serve this: ${said} It is tried again until it does.`,
    );
  const code = codeOf(error);
  if (code === REFUSED || /ACCESS[-_]REFUSED/i.test(said))
    return make(
      "FORBIDDEN",
      `The RabbitMQ user may not do this: ${said} Grant it with rabbitmqctl set_permissions.`,
    );
  // A virtual host that is not there, or not for this user, is answered with the end of the connection.
  if (code === NOT_ALLOWED || /NOT[-_]ALLOWED|ConnectionOpenOk; got <ConnectionClose/i.test(said))
    return make(
      "FORBIDDEN",
      `RabbitMQ does not let this user in there: ${said} Correct the virtual host, or grant it.`,
    );
  // A queue whose server is only starting is not found either, and is there later.
  if (/no (?:queue|exchange|binding) '/i.test(said))
    return make("NOT_FOUND", `RabbitMQ has nothing of this name: ${said} Make it first.`);
  if (code === PRECONDITION || code === LOCKED)
    return make(
      "INVALID_ARGUMENT",
      `A queue or exchange of this name is there already, made in another way: ${said} Delete it, or use another namespace.`,
    );
  if (/certificate|self.signed|TLS|SSL/i.test(said))
    return make(
      "NOT_CONNECTED",
      `The TLS connection to RabbitMQ was not made: ${said} Correct the option tls.`,
    );
  return make("NOT_CONNECTED", `RabbitMQ does not answer: ${said} It is tried again until it does.`);
}

/** What a publish failed with. One that was cut off is `PUBLISH_UNKNOWN`: it may be stored. */
export function publishError(error: unknown): HeraldError {
  if (!(error instanceof CutOff)) return rabbitError(error);
  const message = `RabbitMQ did not confirm: the message may be stored or not. Publish it again with the same id. (${describeThrown(error)})`;
  return new HeraldError("PUBLISH_UNKNOWN", message, { cause: error });
}

/** A broker that is not open, or not any more. */
export function closedError(): HeraldError {
  return notOpen("RabbitMQ");
}

/** No connection stands now. */
export function notConnected(cause?: unknown): HeraldError {
  const why = cause === undefined ? "" : `: ${describeThrown(cause)}`;
  const message = `There is no connection to RabbitMQ now${why}. It is tried again until there is.`;
  return new HeraldError("NOT_CONNECTED", message, { cause });
}

/** A delivery was not settled while it was ours. */
export function notSettled(cause?: unknown): HeraldError {
  const why = cause === undefined ? "" : `: ${describeThrown(cause)}`;
  const message = `The connection to RabbitMQ was lost before a delivery was settled, and it comes again${why}.`;
  return new HeraldError("NOT_CONNECTED", message, { cause });
}

/** The server has blocked its publishers, and went on so for too long. */
export function blockedError(reason: string): HeraldError {
  const message = `RabbitMQ takes no messages now (${reason}): the message was not sent. Free memory or disk of the server, and publish again.`;
  return new HeraldError("OVERLOADED", message);
}
