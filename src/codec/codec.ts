/** A payload as bytes, and what kind of bytes. */
export interface EncodedPayload {
  readonly body: Uint8Array;
  readonly contentType: string;
  /** Absent: not compressed. */
  readonly contentEncoding?: string;
  /** Headers that belong to the bytes, beside those of the author. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A body as it came, compression taken off, and what was said of it. */
export interface ReceivedBody {
  readonly channel: string;
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Bounds that a codec keeps. */
export interface CodecLimits {
  /** Nesting of objects and arrays. */
  readonly maxDepth: number;
}

/**
 * A way of writing the payloads of a channel that is more than a content type. Errors that are none of Herald's become
 * `UNSERIALIZABLE` at the publisher and `MALFORMED` at the consumer.
 */
export interface PayloadCodec {
  /** What it is called in sentences. */
  readonly name: string;
  /** Loads what it needs; called when a service starts that uses it. Rejects with `UNSUPPORTED`, naming what is missing. */
  open?(): Promise<void>;
  /** A payload as bytes. With a promise it must have taken a copy before it returned: authors change what they published. */
  encode(payload: unknown, channel: string, limits: CodecLimits): EncodedPayload | Promise<EncodedPayload>;
  /**
   * The payload of a body: plain data. Undefined, or a promise of it: not one of its kind, which is then read by its content
   * type.
   */
  decode(received: ReceivedBody, limits: CodecLimits): unknown;
}
