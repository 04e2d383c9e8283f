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
  /** How the body is compressed: `gzip`, `zstd`, `snappy`. Undefined: not at all. */
  readonly contentEncoding: string | undefined;
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

const NO_BYTES = new Uint8Array(0);

/**
 * An envelope in the making. All envelopes share one hidden class. It is a class and not an object literal, because V8
 * decides for each literal, from what it saw in the first milliseconds, whether its objects are born old: envelopes that
 * are born old keep bodies alive until a full collection.
 */
export class EnvelopeDraft implements Envelope {
  readonly id: string;
  readonly channel: string;
  readonly source: string;
  readonly time: number;
  body: Uint8Array = NO_BYTES;
  contentType = JSON_TYPE;
  contentEncoding: string | undefined = undefined;
  headers = NO_HEADERS;
  priority = DEFAULT_PRIORITY;
  key: string | undefined = undefined;
  deliverAt: number | undefined = undefined;
  expiresAt: number | undefined = undefined;
  type: string | undefined = undefined;
  to: string | undefined = undefined;
  correlationId: string | undefined = undefined;
  causationId: string | undefined = undefined;
  replyTo: string | undefined = undefined;
  traceparent: string | undefined = undefined;
  hops = 0;
  origin: string | undefined = undefined;
  provenance: string | undefined = undefined;

  constructor(id: string, channel: string, source: string, time: number) {
    this.id = id;
    this.channel = channel;
    this.source = source;
    this.time = time;
  }
}

/** An envelope with every field set: those of `init`, and the defaults. */
export function createEnvelope(init: EnvelopeInit): Envelope {
  const draft = new EnvelopeDraft(init.id, init.channel, init.source, init.time);
  draft.body = init.body;
  draft.contentType = init.contentType ?? JSON_TYPE;
  draft.contentEncoding = init.contentEncoding;
  draft.headers = init.headers ?? NO_HEADERS;
  draft.priority = init.priority ?? DEFAULT_PRIORITY;
  draft.key = init.key;
  draft.deliverAt = init.deliverAt;
  draft.expiresAt = init.expiresAt;
  draft.type = init.type;
  draft.to = init.to;
  draft.correlationId = init.correlationId;
  draft.causationId = init.causationId;
  draft.replyTo = init.replyTo;
  draft.traceparent = init.traceparent;
  draft.hops = init.hops ?? 0;
  draft.origin = init.origin;
  draft.provenance = init.provenance;
  return draft;
}
