import { toMessage } from "../../codec/message.ts";
import { createEnvelope, type Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { Logger } from "../../core/logger.ts";
import type { PublishOptions } from "../../core/message.ts";
import { agentChannel } from "../../core/names.ts";
import { childTrace } from "../../core/trace.ts";
import { DEFAULT_PRIORITY } from "../../core/priority.ts";
import { derivedId } from "../../core/ids.ts";
import { REDRIVE_GROUP, toDeadLetter } from "../../delivery/dead-letter.ts";
import type { RoutingRule } from "../../routing/rules/rule.ts";
import { broadcastTargets, type Routing } from "./routing.ts";

/** Header of a copy: the channel that its message was published on. */
const ROUTED_FROM = "x-route-from";
/** Header of a copy: the rule that sent it; absent for the default route. */
const ROUTED_BY = "x-route-rule";
/** Header of a dead letter: the only agent whose copy could not be made. */
const ROUTED_TO = "x-route-to";
/** The group that a routing dead letter names: sent back, it is routed again, and handed to no subscriber. */
const ROUTING_GROUP = "herald:routing";

/** What copies are made with. */
export interface CopyTools {
  readonly routing: Routing;
  readonly agentId: string;
  /** Undefined: dead letters are switched off. */
  readonly deadLetterChannel: string | undefined;
  readonly now: () => number;
  readonly logger: Logger;
  /** Encodes and checks what one channel gets. */
  readonly compose: (
    channel: string,
    payload: unknown,
    options: PublishOptions,
  ) => Envelope | Promise<Envelope>;
}

/** An envelope that is to go out, perhaps when its transform has ended. */
export interface Outgoing {
  /** Those of one channel go out in the order of the publishes, also where a transform takes its time. */
  readonly channel: string;
  readonly envelope: Envelope | Promise<Envelope>;
}

interface Wanted {
  readonly target: string | null;
  readonly channel: string;
  readonly rule: RoutingRule | undefined;
}

/**
 * What goes out beside a message by the rules. A copy that cannot be made is a dead letter in its place. Throws what making
 * it threw, or `UNROUTABLE`, where dead letters are switched off. `only` leaves all agents out but one.
 */
export function outgoingOf(
  envelope: Envelope,
  payload: unknown,
  tools: CopyTools,
  only?: string,
): Outgoing[] {
  const message = toMessage(envelope, payload, 1);
  const { copies, otherwise } = tools.routing.table.plan(message);
  if (otherwise?.action === "dlq") return [deadLettered(envelope, unroutable(envelope), tools)];
  const wanted: readonly Wanted[] =
    otherwise === undefined
      ? copies.map(({ target, rule }) => ({ target, rule, channel: agentChannel(target) }))
      : broadcastTargets(otherwise).map((to) => ({ ...to, rule: undefined }));
  return wanted
    .filter(({ target }) => only === undefined || target === only)
    .map((to) => {
      const failed = (error: unknown): Outgoing =>
        deadLettered(envelope, toHeraldError(error), tools, to.target);
      try {
        const made = to.rule === undefined ? payload : tools.routing.payloadFor(to.rule, message);
        const copy =
          made instanceof Promise
            ? made.then((late) => copyOf(envelope, late, to, tools))
            : copyOf(envelope, made, to, tools);
        const { channel } = to;
        if (!(copy instanceof Promise)) return { channel, envelope: copy };
        return { channel, envelope: copy.catch((error: unknown) => failed(error).envelope) };
      } catch (error) {
        return failed(error);
      }
    });
}

/** Did rules make a dead letter of it? Sent back, it has to be routed again. */
export function isToBeRouted({ headers }: Envelope): boolean {
  return headers[REDRIVE_GROUP] === ROUTING_GROUP;
}

/** What goes out for a routing dead letter that is sent back. Throws `UNROUTABLE` when no rule sends it anywhere any more. */
export function routedAgain(envelope: Envelope, payload: unknown, tools: CopyTools): Outgoing[] {
  const { [ROUTED_TO]: only, ...others } = envelope.headers;
  const headers = Object.fromEntries(
    Object.entries(others).filter(([name]) => !name.startsWith("x-redrive-")),
  );
  const outgoing = outgoingOf(createEnvelope({ ...envelope, headers }), payload, tools, only);
  if (outgoing.length > 0) return outgoing;
  throw unroutable(envelope, only);
}

function copyOf(
  envelope: Envelope,
  payload: unknown,
  { target, channel, rule }: Wanted,
  { compose }: CopyTools,
): Envelope | Promise<Envelope> {
  const id = derivedId(`${envelope.id} route ${channel}`, envelope.id);
  const headers = {
    ...envelope.headers,
    [ROUTED_FROM]: envelope.channel,
    ...(rule === undefined ? {} : { [ROUTED_BY]: rule.id }),
  };
  const composed = compose(channel, payload, {
    id,
    headers,
    ...(envelope.priority === DEFAULT_PRIORITY ? {} : { priority: envelope.priority }),
    ...(envelope.deliverAt === undefined ? {} : { delayMs: 0 }),
  });
  const dress = ({ body, contentType, contentEncoding, headers: own }: Envelope): Envelope =>
    createEnvelope({
      ...envelope,
      id,
      channel,
      body,
      contentType,
      contentEncoding,
      headers: own,
      to: target ?? envelope.to,
      correlationId: envelope.correlationId ?? envelope.id,
      causationId: envelope.id,
      traceparent: childTrace(envelope, id),
      // Whoever asked is answered by those that it asked.
      replyTo: undefined,
      // It proves where another payload comes from.
      provenance: rule?.transform === undefined ? envelope.provenance : undefined,
    });
  return composed instanceof Promise ? composed.then(dress) : dress(composed);
}

function deadLettered(
  envelope: Envelope,
  error: HeraldError,
  { deadLetterChannel, agentId, logger, now }: CopyTools,
  target?: string | null,
): Outgoing {
  const { id, channel } = envelope;
  logger.warn(
    { agentId, id, channel, target, code: error.code },
    `A message was not routed: ${error.message}`,
  );
  if (deadLetterChannel === undefined) throw error;
  const original =
    typeof target === "string"
      ? createEnvelope({ ...envelope, headers: { ...envelope.headers, [ROUTED_TO]: target } })
      : envelope;
  const dead = toDeadLetter({
    delivery: {
      envelope: original,
      attempt: 1,
      position: "",
      leaseMs: null,
      failures: [],
      receipt: undefined,
    },
    error,
    agentId,
    group: ROUTING_GROUP,
    channel: deadLetterChannel,
    now: now(),
  });
  emit("deadLettered", () => ({
    agent: agentId,
    group: ROUTING_GROUP,
    envelope,
    reason: error.code,
    error,
    attempts: 1,
  }));
  return { channel: deadLetterChannel, envelope: dead };
}

function unroutable({ id, channel, source }: Envelope, target?: string): HeraldError {
  const to = target === undefined ? "" : ` to '${target}'`;
  const message = `No routing rule sends ${id} of '${source}' on '${channel}' anywhere${to}: herald route explain says why.`;
  return new HeraldError("UNROUTABLE", message, { details: { id, channel, source } });
}
