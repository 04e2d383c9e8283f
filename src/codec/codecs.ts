import type { Envelope } from "../core/envelope.ts";
import { describeThrown, HeraldError, isHeraldError } from "../core/errors.ts";
import type { Limits } from "../core/limits.ts";
import { matchPattern } from "../core/pattern.ts";
import type { EncodedPayload, PayloadCodec } from "./codec.ts";
import { compress, restore, type CompressionPlan } from "./compression.ts";
import { snappy } from "./snappy.ts";
import { messagePack } from "./msgpack/msgpack.ts";
import { decodePayload, encodeAs, encodePayload, isMessagePack } from "./payload.ts";

/** How payloads are written, as far as one place says so. */
export interface Writing {
  /** A media type, or a codec. Absent: this place does not say. */
  readonly format?: string | PayloadCodec;
  /** Null: not compressed. Absent: this place does not say. */
  readonly compression?: CompressionPlan | null;
}

/** Everything that is said of how payloads are written, the later ones holding where the earlier ones are silent. */
export interface CodecPlan {
  /** By channel pattern: an exact name first, then the first that matches. */
  readonly byPattern: readonly (readonly [pattern: string, writing: Writing])[];
  /** By channel name, from the manifest. */
  readonly byChannel: ReadonlyMap<string, Writing>;
  /** For every channel. */
  readonly otherwise: Writing;
}

/** Nothing is said: everything is JSON, bytes stay bytes, nothing is compressed. */
export const PLAIN: CodecPlan = { byPattern: [], byChannel: new Map(), otherwise: {} };

/** What is in force for one channel; undefined stands for JSON and for no compression. */
interface Chosen {
  readonly format: string | PayloadCodec | undefined;
  readonly compression: CompressionPlan | undefined;
}

/** Names remembered; bounded, so that a million names cost no memory. */
const MAX_KNOWN_CHANNELS = 10_000;
/** The runtime's own conversations: patterns of `codecs` are for the channels of programs. */
const REPLIES = "reply.";

/** Turns payloads into bodies and back, as is said for their channel. */
export class Codecs {
  readonly #plan: CodecPlan;
  readonly #limits: Limits;
  readonly #known = new Map<string, Chosen | undefined>();
  readonly #defined = new WeakMap<Writing, Map<string, Chosen | undefined>>();
  readonly #isPlain: boolean;
  /** Codecs have a say in reading, too. */
  readonly #reads: boolean;

  constructor(plan: CodecPlan, limits: Limits) {
    this.#plan = plan;
    this.#limits = limits;
    this.#isPlain =
      plan.byPattern.length === 0 && plan.byChannel.size === 0 && Object.keys(plan.otherwise).length === 0;
    this.#reads = codecsOf(plan).length > 0;
  }

  /** Loads what codecs and compression need. Rejects with `UNSUPPORTED`, naming what is missing. */
  async open(): Promise<void> {
    const writings = writingsOf(this.#plan);
    if (writings.some(({ compression }) => compression?.encoding === "snappy")) snappy();
    if (writings.some(({ format }) => typeof format === "string" && isMessagePack(format))) messagePack();
    for (const codec of new Set(codecsOf(this.#plan))) await codec.open?.();
  }

  /**
   * A payload as bytes, compressed where that is said and worth it. At once, unless a codec has to ask somebody first. Throws
   * or rejects with what the encoders throw, and `MESSAGE_TOO_LARGE` for what readers would not restore. `defined` is what
   * the channel's definition in code says.
   */
  encode(payload: unknown, channel: string, defined?: Writing): EncodedPayload | Promise<EncodedPayload> {
    const { maxDepth } = this.#limits;
    const chosen = this.#isPlain && defined === undefined ? undefined : this.#chosen(channel, defined);
    if (chosen === undefined) return encodePayload(payload, maxDepth);
    const { format, compression } = chosen;
    if (format === undefined) return this.#compressed(encodePayload(payload, maxDepth), compression);
    if (typeof format === "string") return this.#compressed(encodeAs(payload, format, maxDepth), compression);
    return this.#encodeBy(format, payload, { channel, compression });
  }

  /**
   * The payload of an envelope, by what the envelope says of itself. At once, unless a codec has to ask somebody first. Throws
   * or rejects with what {@link restore} and the decoders throw. `channel` is the one it was written for.
   */
  decode(envelope: Envelope, channel: string): unknown {
    const { contentEncoding, contentType, headers } = envelope;
    const { maxDepth, maxDecompressedBytes } = this.#limits;
    if (contentEncoding === undefined && !this.#reads) return decodePayload(envelope, maxDepth);
    const body =
      contentEncoding === undefined
        ? envelope.body
        : restore(envelope.body, contentEncoding, maxDecompressedBytes);
    const received = { channel, body, contentType, headers };
    const format = this.#reads ? this.#chosen(channel, undefined)?.format : undefined;
    if (format === undefined || typeof format === "string") return decodePayload(received, maxDepth);
    const otherwise = (value: unknown): unknown =>
      value === undefined ? decodePayload(received, maxDepth) : value;
    try {
      const value = format.decode(received, this.#limits);
      return value instanceof Promise
        ? value.then(otherwise, (error: unknown) => raise(error, "MALFORMED", format))
        : otherwise(value);
    } catch (error) {
      raise(error, "MALFORMED", format);
    }
  }

  #encodeBy(
    codec: PayloadCodec,
    payload: unknown,
    { channel, compression }: { readonly channel: string; readonly compression: CompressionPlan | undefined },
  ): EncodedPayload | Promise<EncodedPayload> {
    try {
      const encoded = codec.encode(payload, channel, this.#limits);
      return encoded instanceof Promise
        ? encoded.then(
            (late) => this.#compressed(late, compression),
            (error: unknown) => raise(error, "UNSERIALIZABLE", codec),
          )
        : this.#compressed(encoded, compression);
    } catch (error) {
      raise(error, "UNSERIALIZABLE", codec);
    }
  }

  #compressed(encoded: EncodedPayload, plan: CompressionPlan | undefined): EncodedPayload {
    if (plan === undefined) return encoded;
    const { maxDecompressedBytes } = this.#limits;
    const { byteLength } = encoded.body;
    if (byteLength >= plan.thresholdBytes && byteLength > maxDecompressedBytes)
      throw tooLarge(byteLength, maxDecompressedBytes);
    const smaller = compress(encoded.body, plan);
    if (smaller === undefined) return encoded;
    return { ...encoded, body: smaller, contentEncoding: plan.encoding };
  }

  #chosen(channel: string, defined: Writing | undefined): Chosen | undefined {
    const known = defined === undefined ? this.#known : this.#knownOf(defined);
    const before = known.get(channel);
    if (before !== undefined || known.has(channel)) return before;
    const chosen = this.#choose(channel, defined);
    if (known.size >= MAX_KNOWN_CHANNELS) known.clear();
    known.set(channel, chosen);
    return chosen;
  }

  #knownOf(defined: Writing): Map<string, Chosen | undefined> {
    const known = this.#defined.get(defined) ?? new Map<string, Chosen | undefined>();
    this.#defined.set(defined, known);
    return known;
  }

  /** The options, the manifest, the channel's definition, the service: what comes first holds, for each of the two by itself. */
  #choose(channel: string, defined: Writing | undefined): Chosen | undefined {
    const { byChannel, otherwise } = this.#plan;
    const said = [this.#matching(channel), byChannel.get(channel), defined, otherwise];
    const format = said.find((writing) => writing?.format !== undefined)?.format;
    const compression = said.find((writing) => writing?.compression !== undefined)?.compression ?? undefined;
    return format === undefined && compression === undefined ? undefined : { format, compression };
  }

  #matching(channel: string): Writing | undefined {
    if (channel.startsWith(REPLIES)) return undefined;
    const { byPattern } = this.#plan;
    const found =
      byPattern.find(([pattern]) => pattern === channel) ??
      byPattern.find(([pattern]) => matchPattern(pattern, channel));
    return found?.[1];
  }
}

function writingsOf({ byPattern, byChannel, otherwise }: CodecPlan): Writing[] {
  return [...byPattern.map(([, writing]) => writing), ...byChannel.values(), otherwise];
}

function codecsOf(plan: CodecPlan): PayloadCodec[] {
  return writingsOf(plan).flatMap(({ format }) => (typeof format === "object" ? [format] : []));
}

function raise(error: unknown, code: "MALFORMED" | "UNSERIALIZABLE", codec: PayloadCodec): never {
  if (isHeraldError(error)) throw error;
  const what = code === "MALFORMED" ? "read" : "write";
  throw new HeraldError(code, `The codec '${codec.name}' cannot ${what} it: ${describeThrown(error)}`, {
    cause: error,
  });
}

function tooLarge(bytes: number, maxBytes: number): HeraldError {
  const message = `The payload has ${bytes} bytes before it is compressed and readers restore ${maxBytes}: send less, or raise limits.maxDecompressedBytes here and there.`;
  return new HeraldError("MESSAGE_TOO_LARGE", message, { details: { bytes, maxBytes } });
}
