import type { PayloadCodec } from "../codec/codec.ts";
import { AvroSchema } from "../codec/registry/avro.ts";
import { RegistryClient } from "../codec/registry/client.ts";
import { RegistryCodec, type SubjectOf } from "../codec/registry/codec.ts";
import { Forms } from "../codec/registry/forms.ts";
import { RegistryHttp, type RegistryAuth } from "../codec/registry/http.ts";
import type {
  Compatibility,
  RegisteredSchema,
  SchemaReference,
  SchemaVersion,
} from "../codec/registry/model.ts";
import { systemClock } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import { aboveZero, notNegative, whole, wrongOption } from "./check-options.ts";
import { valueCheck } from "./contracts.ts";
import type { SchemaLike } from "./schema/model.ts";

/** Where a schema registry is and how it is asked. */
export interface SchemaRegistryOptions {
  /** One, or several of one cluster that are asked in turn: `http://localhost:8081`, `https://…/apis/ccompat/v7`. */
  readonly url: string | readonly string[];
  readonly auth?: RegistryAuth;
  /** For one answer. Default 5000. */
  readonly timeoutMs?: number;
  /** Further tries, where trying again can help. Default 2. */
  readonly maxRetries?: number;
  /** Before the first of them; doubled each time. Default 200. */
  readonly retryDelayMs?: number;
  /** How long the latest version of a subject is used before it is asked for again. Default 60,000. */
  readonly latestTtlMs?: number;
  /** Schemas kept. Default 1000. */
  readonly maxSchemas?: number;
}

/** How the payloads of some channels name their schema. All optional. */
export interface RegistryCodecOptions {
  /** What is written with, as an object or text. Absent: the latest version of the subject. */
  readonly schema?: object | string;
  /** Schemas of other subjects that it names. Avro only. */
  readonly references?: readonly SchemaReference[];
  /**
   * Which subject a channel's schema belongs to: `topic` is `<channel>-value` (default), `record` the schema's own name,
   * `topic-record` `<channel>-<name>`; or a function.
   */
  readonly subject?: "topic" | "record" | "topic-record" | SubjectOf;
  /** True: a schema that the subject does not have yet is registered by the first publish. Default false: it is refused. */
  readonly register?: boolean;
  /** `prefix` (default): five bytes in front of the body. `header`: the header `__value_schema_id`. Both are read. */
  readonly schemaId?: "prefix" | "header";
}

/** For Avro beside the rest. */
export interface AvroCodecOptions extends RegistryCodecOptions {
  /** What handlers get, whatever the message was written with, by Avro's rules of resolution. Default: as it was written. */
  readonly readAs?: object | string;
}

/** For JSON Schema beside the rest. */
export interface JsonCodecOptions extends RegistryCodecOptions {
  /** False: values are not checked against the schema. Default true. */
  readonly validate?: boolean;
}

const NOTHING_MS = 5000;

/**
 * A schema registry that speaks as Confluent's does (so do Apicurio's `/apis/ccompat/v7`, Karapace and Redpanda). Its codecs go
 * into the option `codecs`. What was asked once is remembered; questions that come at the same time are one. Methods reject
 * with `NOT_FOUND`, `CONFLICT` (not compatible), `INVALID_ARGUMENT` (no schema), `UNAUTHENTICATED`, `FORBIDDEN`, `TIMEOUT`,
 * `OVERLOADED`, `NOT_CONNECTED`, `MALFORMED` (no registry).
 */
export class SchemaRegistry {
  readonly #client: RegistryClient;

  /** Throws `INVALID_ARGUMENT`, naming the field. */
  constructor(options: SchemaRegistryOptions) {
    const { urls, auth } = placesOf(options);
    const {
      timeoutMs = 5000,
      maxRetries = 2,
      retryDelayMs = 200,
      latestTtlMs = 60_000,
      maxSchemas = 1000,
    } = options;
    const clock = systemClock;
    this.#client = new RegistryClient({
      http: new RegistryHttp({
        urls,
        auth,
        timeoutMs: aboveZero("timeoutMs", timeoutMs),
        maxRetries: notNegative("maxRetries", maxRetries),
        retryDelayMs: notNegative("retryDelayMs", retryDelayMs),
        clock,
      }),
      clock,
      maxEntries: whole("maxSchemas", maxSchemas),
      latestMs: notNegative("latestTtlMs", latestTtlMs),
      nothingMs: NOTHING_MS,
    });
  }

  /** Payloads as Avro. Needs the package `avsc`. Throws `INVALID_ARGUMENT`, naming the field. */
  avro(options: AvroCodecOptions = {}): PayloadCodec {
    const { readAs } = options;
    let reader: AvroSchema | undefined;
    const readerOf = (): AvroSchema => (reader ??= new AvroSchema(textOf(readAs, "readAs")));
    const forms = new Forms({
      client: this.#client,
      jsonCheck,
      readAs: readAs === undefined ? undefined : readerOf,
    });
    return this.#codec("AVRO", options, forms);
  }

  /** Payloads as JSON that a JSON Schema of the registry checks. Throws `INVALID_ARGUMENT`, naming the field. */
  json(options: JsonCodecOptions = {}): PayloadCodec {
    const check = options.validate === false ? undefined : jsonCheck;
    return this.#codec(
      "JSON",
      options,
      new Forms({ client: this.#client, jsonCheck: check, readAs: undefined }),
    );
  }

  /** The names of all subjects. */
  subjects(): Promise<readonly string[]> {
    return this.#client.subjects();
  }

  /** A schema by its id. */
  async byId(id: number): Promise<RegisteredSchema> {
    return this.#client.schema({ id });
  }

  /** The latest version of a subject. */
  async latest(subject: string): Promise<SchemaVersion> {
    return this.#client.latest(subject);
  }

  /** Makes a schema the next version of a subject, unless it is one already. `CONFLICT` when the subject's rule forbids it. */
  async register(
    subject: string,
    schema: object | string,
    kind: "AVRO" | "JSON" = "AVRO",
  ): Promise<SchemaVersion> {
    return this.#client.register(subject, { schemaType: kind, schema: textOf(schema, "schema") });
  }

  /** May a schema become the next version of a subject, by the subject's own rule? */
  async compatibility(
    subject: string,
    schema: object | string,
    kind: "AVRO" | "JSON" = "AVRO",
  ): Promise<Compatibility> {
    return this.#client.compatibility(subject, { schemaType: kind, schema: textOf(schema, "schema") });
  }

  #codec(schemaType: "AVRO" | "JSON", options: RegistryCodecOptions, forms: Forms): PayloadCodec {
    const { schema, references, register = false, schemaId = "prefix", subject = "topic" } = options;
    if (schemaId !== "prefix" && schemaId !== "header")
      throw wrongOption("schemaId", "prefix or header", schemaId);
    if (schema === undefined && (subject === "record" || subject === "topic-record"))
      throw wrongOption("subject", "topic or a function where no schema is given", subject);
    return new RegistryCodec({
      client: this.#client,
      forms,
      schemaType,
      schema:
        schema === undefined
          ? undefined
          : {
              schemaType,
              schema: textOf(schema, "schema"),
              ...(references === undefined ? {} : { references }),
            },
      subject: subjectOf(subject),
      register,
      place: schemaId,
    });
  }
}

function subjectOf(subject: NonNullable<RegistryCodecOptions["subject"]>): SubjectOf {
  if (typeof subject === "function") return subject;
  switch (subject) {
    case "topic":
      return (channel) => `${channel}-value`;
    case "record":
      return (_channel, name) => named(name);
    case "topic-record":
      return (channel, name) => `${channel}-${named(name)}`;
    default:
      throw wrongOption("subject", "topic, record, topic-record, or a function", subject);
  }
}

function named(name: string | undefined): string {
  if (name !== undefined) return name;
  const message =
    "The subject is to be named for the schema's record, and the schema has no name: use an Avro record, give a JSON Schema a title, or use subject: topic.";
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "subject" } });
}

function jsonCheck(schema: unknown): (value: unknown) => void {
  const { title } = (schema ?? {}) as { readonly title?: unknown };
  return valueCheck(schema as SchemaLike, typeof title === "string" ? title : "the registry") as (
    value: unknown,
  ) => void;
}

function textOf(schema: unknown, field: string): string {
  if (typeof schema === "string" && schema !== "")
    return isJsonText(schema) ? schema : JSON.stringify(schema);
  if (typeof schema === "object" && schema !== null) return JSON.stringify(schema);
  throw wrongOption(field, "a schema as an object or as JSON text", schema);
}

/** `"string"` is a schema of Avro as JSON has it, and so is `string` as people write it. */
function isJsonText(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return !/^[\w.]+$/.test(text);
  }
}

function placesOf({ url, auth }: SchemaRegistryOptions): { urls: URL[]; auth: RegistryAuth | undefined } {
  const texts = typeof url === "string" ? [url] : url;
  if (!Array.isArray(texts) || texts.length === 0) throw wrongOption("url", "a URL, or a list of them", url);
  const urls = texts.map((text: string) => {
    const parsed = URL.canParse(text) ? new URL(text) : undefined;
    if (parsed !== undefined && /^https?:$/.test(parsed.protocol)) return parsed;
    // What is no URL of ours may hold a password.
    throw new HeraldError("INVALID_ARGUMENT", "url must be an http: or https: URL of a schema registry.", {
      details: { field: "url" },
    });
  });
  return { urls, auth: checkedAuth(auth) ?? authIn(urls[0] as URL) };
}

function authIn({ username, password }: URL): RegistryAuth | undefined {
  if (username === "") return undefined;
  return { username: decodeURIComponent(username), password: decodeURIComponent(password) };
}

function checkedAuth(auth: RegistryAuth | undefined): RegistryAuth | undefined {
  if (auth === undefined) return undefined;
  const { username, password, token } = auth as Partial<Record<"username" | "password" | "token", unknown>>;
  const isBasic = typeof username === "string" && typeof password === "string" && token === undefined;
  const isBearer = (typeof token === "string" || typeof token === "function") && username === undefined;
  if (isBasic || isBearer) return auth;
  // What was given is a secret, or nearly one.
  throw new HeraldError("INVALID_ARGUMENT", "auth must be { username, password } or { token }.", {
    details: { field: "auth" },
  });
}
