import { HeraldError } from "../../core/errors.ts";
import type { CodecLimits, EncodedPayload, PayloadCodec, ReceivedBody } from "../codec.ts";
import { plainCopy } from "../plain.ts";
import { openAvro } from "./avro.ts";
import type { RegistryClient, SchemaInput } from "./client.ts";
import type { Form, Forms } from "./forms.ts";
import type { SchemaVersion } from "./model.ts";
import { framedBy, prefixed, refHeader, SCHEMA_ID_HEADER, type SchemaRef } from "./wire.ts";

/** The subject of a channel; `recordName` is the name of the schema's record, where it has one. */
export type SubjectOf = (channel: string, recordName: string | undefined) => string;

/** What payloads are written with, and how their schema is named. */
export interface RegistryCodecOptions {
  readonly client: RegistryClient;
  readonly forms: Forms;
  readonly schemaType: "AVRO" | "JSON";
  /** Undefined: the latest version of the subject. */
  readonly schema: SchemaInput | undefined;
  readonly subject: SubjectOf;
  /** A schema that is not registered is registered, rather than refused. */
  readonly register: boolean;
  /** Where a message names its schema. */
  readonly place: "prefix" | "header";
}

/** Who writes to a channel: a form, and what names it. */
interface Writer {
  readonly form: Form;
  readonly ref: SchemaRef;
}

/** Channels remembered; bounded, so that a million names cost no memory. */
const MAX_KNOWN_CHANNELS = 10_000;
const TYPES = {
  AVRO: { prefix: "application/vnd.apache.avro;framing=confluent", header: "application/vnd.apache.avro" },
  JSON: { prefix: "application/json;framing=confluent", header: "application/json" },
} as const;

/** Payloads that name their schema in a registry, in the wire format of its own clients. Reads every kind that {@link Forms} makes. */
export class RegistryCodec implements PayloadCodec {
  readonly name: string;
  readonly #options: RegistryCodecOptions;
  /** By channel, where the schema is given: it never changes. */
  readonly #writers = new Map<string, Writer>();

  constructor(options: RegistryCodecOptions) {
    this.#options = options;
    this.name = options.schemaType === "AVRO" ? "Avro by registry" : "JSON Schema by registry";
  }

  async open(): Promise<void> {
    const { schemaType, schema, forms } = this.#options;
    if (schemaType === "AVRO") openAvro();
    // A schema that cannot be used is found now; one that names others is found when they are asked for.
    if (schema !== undefined && (schema.references ?? []).length === 0)
      await forms.of({ references: [], ...schema });
  }

  encode(payload: unknown, channel: string, limits: CodecLimits): EncodedPayload | Promise<EncodedPayload> {
    const writer = this.#writer(channel);
    if (!(writer instanceof Promise)) return this.#write(payload, writer, limits);
    const held = plainCopy(payload, limits.maxDepth);
    return writer.then((late) => this.#write(held, late, limits));
  }

  decode(received: ReceivedBody, limits: CodecLimits): unknown {
    const framed = framedBy(received);
    if (framed === undefined) return undefined;
    const { client, forms } = this.#options;
    const read = (form: Form): unknown => form.decode(framed.data, limits.maxDepth);
    const schema = client.schema(framed.ref);
    const form = schema instanceof Promise ? schema.then((late) => forms.of(late)) : forms.of(schema);
    return form instanceof Promise ? form.then(read) : read(form);
  }

  #write(payload: unknown, { form, ref }: Writer, { maxDepth }: CodecLimits): EncodedPayload {
    const data = form.encode(payload, maxDepth);
    const { place } = this.#options;
    const contentType = TYPES[form.schemaType][place];
    return place === "prefix"
      ? { body: prefixed(ref, data), contentType }
      : { body: data, contentType, headers: { [SCHEMA_ID_HEADER]: refHeader(ref) } };
  }

  #writer(channel: string): Writer | Promise<Writer> {
    const { schema, client, subject } = this.#options;
    const known = this.#writers.get(channel);
    if (known !== undefined) return known;
    if (schema !== undefined) return this.#writerWith(schema, channel);
    const version = client.latest(subject(channel, undefined));
    return version instanceof Promise
      ? version.then((late) => this.#writerOf(late))
      : this.#writerOf(version);
  }

  /** The schema is given: its id is asked for once a channel. */
  async #writerWith(schema: SchemaInput, channel: string): Promise<Writer> {
    const { client, forms, subject, register } = this.#options;
    const given = { references: [], ...schema };
    const form = await forms.of(given);
    const name = subject(channel, form.recordName);
    const version = await (register ? client.register(name, given) : client.find(name, given));
    const writer = { form, ref: await this.#ref(version) };
    if (this.#writers.size >= MAX_KNOWN_CHANNELS) this.#writers.clear();
    this.#writers.set(channel, writer);
    return writer;
  }

  #writerOf(version: SchemaVersion): Writer | Promise<Writer> {
    const form = this.#options.forms.of(version);
    if (form instanceof Promise || (this.#options.place === "header" && version.guid === undefined))
      return this.#writerLate(version);
    return { form, ref: this.#refOf(version) };
  }

  async #writerLate(version: SchemaVersion): Promise<Writer> {
    return { form: await this.#options.forms.of(version), ref: await this.#ref(version) };
  }

  #refOf({ id, guid }: SchemaVersion): SchemaRef {
    return this.#options.place === "header" && guid !== undefined ? { guid } : { id };
  }

  /** The name of a schema; in a header it is the GUID, which the answer to a registration may not hold. */
  async #ref(version: SchemaVersion): Promise<SchemaRef> {
    if (this.#options.place === "prefix" || version.guid !== undefined) return this.#refOf(version);
    const { guid } = await this.#options.client.find(version.subject, version);
    if (guid !== undefined) return { guid };
    const message = `The registry knows no GUID of the schema of '${version.subject}', which the header names it by: it is too old for that; let the body name it (schemaId: "prefix").`;
    throw new HeraldError("UNSUPPORTED", message, { details: { subject: version.subject } });
  }
}
