import type { XStatic } from "typebox/schema";
import type { Writing } from "../codec/codecs.ts";
import { checkChannel } from "../core/pattern.ts";
import { writingOf } from "./encoding.ts";
import type { Compression } from "./encoding-options.ts";
import type { SchemaLike } from "./schema/model.ts";
import type { StandardSchemaV1 } from "./schema/standard-schema.ts";

/** A channel with the type of its payloads: give it wherever a channel name goes. */
export interface ChannelDefinition<T = unknown> {
  readonly channel: string;
  readonly schema: SchemaLike | undefined;
  /** How its payloads are written; undefined where nothing is said of it. */
  readonly writing: Writing | undefined;
  /** Carries the type only; never set. */
  readonly payload?: T;
}

/** The payload type that a schema says: a Standard Schema's output, or what a JSON Schema that is written out describes. */
export type PayloadOf<S> =
  S extends StandardSchemaV1<infer _Input, infer Output> ? Output : S extends object ? XStatic<S> : unknown;

/** What a channel is defined with. All optional. */
export interface ChannelDefinitionOptions<S> {
  readonly schema?: S;
  /** How its payloads are written: `application/json`, `application/msgpack`, `text/plain`, … Default: the service's. */
  readonly contentType?: string;
  /** How they are compressed. Default: the service's. */
  readonly compression?: Compression;
}

/**
 * Names a channel together with its schema, so that publishers and handlers share both name and payload type. Throws
 * `INVALID_CHANNEL` or `INVALID_ARGUMENT`.
 */
export function defineChannel<T = never, const S extends SchemaLike = SchemaLike>(
  channel: string,
  options: ChannelDefinitionOptions<S> = {},
): ChannelDefinition<[T] extends [never] ? PayloadOf<S> : T> {
  checkChannel(channel);
  const { schema, contentType, compression } = options;
  const writing =
    contentType === undefined && compression === undefined
      ? undefined
      : writingOf({ contentType, compression }, channel);
  return { channel, schema, writing };
}

/** A channel name, or a definition that knows the type of its payloads. */
export type ChannelRef<T> = string | ChannelDefinition<T>;

/** The name of a channel, whichever way it was given. Throws `INVALID_CHANNEL` for what is neither. */
export function nameOf(channel: ChannelRef<never> | ChannelRef<unknown>): string {
  const name: unknown = typeof channel === "object" && channel !== null ? channel.channel : channel;
  // The rest of the name's check comes later, and once a name.
  if (typeof name !== "string") checkChannel(name);
  return name;
}

/** The definition of a channel, where it was given as one. */
export function definitionOf(channel: unknown): ChannelDefinition | undefined {
  return typeof channel === "object" && channel !== null ? (channel as ChannelDefinition) : undefined;
}
