import { DEFAULT_PRIORITY } from "./priority.ts";

/** Media type of a body that is JSON. */
export const JSON_TYPE = "application/json";

/** No headers; shared, so that most envelopes cost none. */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/**
 * A message as a broker carries it: typed attributes and an opaque body. `attributesOf` in `cloudevents.ts` gives the
 * attributes their CloudEvents 1.0 names for technologies that carry text.
 */
export interface Envelope {
  /** Also the deduplication key. */
  readonly id: string;
  /** A channel name, never a pattern. */
  readonly channel: string;
  /** The sending agent. */
  readonly source: string;
  /** Epoch milliseconds, with fractions. */
  readonly time: number;
  /** Opaque to brokers. */
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  /** 0 to 99, lower first. */
  readonly priority: number;
  /** Partition key: order is kept per key within a channel. */
  readonly key: string | undefined;
  /** Epoch milliseconds: not handed out before. */
  readonly deliverAt: number | undefined;
  /** Epoch milliseconds: not started after. */
  readonly expiresAt: number | undefined;
  readonly type: string | undefined;
  readonly to: string | undefined;
  readonly correlationId: string | undefined;
  readonly causationId: string | undefined;
  readonly replyTo: string | undefined;
  readonly traceparent: string | undefined;
  readonly hops: number;
  readonly origin: string | undefined;
  readonly provenance: string | undefined;
}

/** The parts of an envelope that have no default. */
export type EnvelopeInit = Pick<Envelope, "id" | "channel" | "source" | "time" | "body"> & {
  readonly [K in keyof Envelope]?: Envelope[K] | undefined;
};

/** An envelope with every field set, in one order: all envelopes share one hidden class. */
export function createEnvelope(init: EnvelopeInit): Envelope {
  return {
    id: init.id,
    channel: init.channel,
    source: init.source,
    time: init.time,
    body: init.body,
    contentType: init.contentType ?? JSON_TYPE,
    headers: init.headers ?? NO_HEADERS,
    priority: init.priority ?? DEFAULT_PRIORITY,
    key: init.key,
    deliverAt: init.deliverAt,
    expiresAt: init.expiresAt,
    type: init.type,
    to: init.to,
    correlationId: init.correlationId,
    causationId: init.causationId,
    replyTo: init.replyTo,
    traceparent: init.traceparent,
    hops: init.hops ?? 0,
    origin: init.origin,
    provenance: init.provenance,
  };
}
