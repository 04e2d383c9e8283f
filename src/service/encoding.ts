import type { CodecPlan, Writing } from "../codec/codecs.ts";
import type { PayloadCodec } from "../codec/codec.ts";
import { ENCODINGS, type CompressionPlan, type Encoding } from "../codec/compression.ts";
import { isHeraldError } from "../core/errors.ts";
import { checkPattern } from "../core/pattern.ts";
import { notNegative, wrongOption } from "./check-options.ts";
import type { CodecChoice, Compression, CompressionOptions, EncodingOptions } from "./encoding-options.ts";
import type { MessagingSpec } from "./manifest/model.ts";

const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:\s*;\s*[\w!#$&^.+-]+=(?:[\w!#$&^.+-]+|"[^"\\]*"))*$/;
const MAX_MEDIA_TYPE = 200;
const DEFAULT_THRESHOLD_BYTES = 1024;
const LEVELS: Readonly<Record<Encoding, readonly [number, number] | undefined>> = {
  gzip: [0, 9],
  zstd: [-7, 19],
  snappy: undefined,
};

/** What options and manifest say of how payloads are written. Throws `INVALID_ARGUMENT`, naming the field. */
export function codecPlanOf(
  {
    contentType,
    compression,
    codecs = {},
  }: Pick<EncodingOptions, "contentType" | "compression"> & {
    readonly codecs?: Readonly<Record<string, CodecChoice>> | undefined;
  },
  { publishes }: MessagingSpec,
): CodecPlan {
  if (typeof codecs !== "object" || codecs === null) throw wrongOption("codecs", "an object", codecs);
  const declared = publishes.flatMap(({ channel, contentType: format }) =>
    format === undefined ? [] : [[channel, { format }] as const],
  );
  return {
    byPattern: Object.entries(codecs).map(([pattern, choice]) => [
      checkedPattern(pattern),
      choiceOf(choice, `codecs['${pattern}']`),
    ]),
    byChannel: new Map(declared),
    otherwise: writingOf({ contentType, compression }, ""),
  };
}

/** How one place wants payloads written. Throws `INVALID_ARGUMENT`, naming the field below `of`. */
export function writingOf({ contentType, codec, compression }: EncodingOptions, of: string): Writing {
  const at = (name: string): string => (of === "" ? name : `${of}.${name}`);
  if (contentType !== undefined && codec !== undefined)
    throw wrongOption(at("codec"), "absent where a contentType is given", contentType);
  const format =
    codec === undefined ? mediaType(contentType, at("contentType")) : checkedCodec(codec, at("codec"));
  return {
    ...(format === undefined ? {} : { format }),
    ...(compression === undefined ? {} : { compression: planOf(compression, at("compression")) }),
  };
}

function choiceOf(choice: CodecChoice, field: string): Writing {
  if (typeof choice === "string") return writingOf({ contentType: choice }, field);
  if (typeof choice !== "object" || choice === null)
    throw wrongOption(field, "a content type, a codec, or { contentType, codec, compression }", choice);
  return isCodec(choice) ? { format: choice } : writingOf(choice, field);
}

function isCodec(value: object): value is PayloadCodec {
  const { encode, decode } = value as Partial<PayloadCodec>;
  return typeof encode === "function" && typeof decode === "function";
}

function checkedCodec(codec: PayloadCodec, field: string): PayloadCodec {
  if (typeof codec === "object" && codec !== null && isCodec(codec)) return codec;
  throw wrongOption(field, "a codec with the methods encode and decode", codec);
}

function checkedPattern(pattern: string): string {
  try {
    checkPattern(pattern);
    return pattern;
  } catch (error) {
    if (!isHeraldError(error)) throw error;
    throw wrongOption("codecs", "an object whose keys are channel patterns", pattern);
  }
}

function mediaType(value: string | undefined, field: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "string" && value.length <= MAX_MEDIA_TYPE && MEDIA_TYPE.test(value)) return value;
  throw wrongOption(field, "a media type such as application/msgpack", value);
}

function planOf(compression: Compression, field: string): CompressionPlan | null {
  if (compression === "none") return null;
  const given: Partial<CompressionOptions> | null =
    typeof compression === "string" ? { encoding: compression } : compression;
  if (typeof given !== "object" || given === null || !ENCODINGS.includes(given.encoding as Encoding))
    throw wrongOption(
      field,
      `none, one of ${ENCODINGS.join(", ")}, or { encoding, thresholdBytes, level }`,
      compression,
    );
  const { encoding, thresholdBytes = DEFAULT_THRESHOLD_BYTES, level } = given as CompressionOptions;
  notNegative(`${field}.thresholdBytes`, thresholdBytes);
  if (level !== undefined) checkLevel(encoding, level, field);
  return { encoding, thresholdBytes, level };
}

function checkLevel(encoding: Encoding, level: number, field: string): void {
  const bounds = LEVELS[encoding];
  if (bounds === undefined) throw wrongOption(`${field}.level`, `absent: ${encoding} has no levels`, level);
  const [least, most] = bounds;
  if (Number.isInteger(level) && level >= least && level <= most) return;
  throw wrongOption(`${field}.level`, `a whole number from ${least} to ${most}`, level);
}
