import type { Clock } from "../../core/clock.ts";
import { HeraldError } from "../../core/errors.ts";
import { compatibilityIn, idIn, schemaIn, textsIn, versionIn } from "./answers.ts";
import { Cache, type CacheOptions } from "./cache.ts";
import type { RegistryHttp } from "./http.ts";
import type { Compatibility, RegisteredSchema, SchemaVersion } from "./model.ts";
import type { SchemaRef } from "./wire.ts";

/** A schema that is to be registered, looked up, or compared. */
export type SchemaInput = Pick<RegisteredSchema, "schemaType" | "schema"> &
  Partial<Pick<RegisteredSchema, "references">>;

/** What a client needs. */
export interface ClientOptions {
  readonly http: RegistryHttp;
  readonly clock: Clock;
  /** Answers kept of each kind. */
  readonly maxEntries: number;
  /** How long the latest version of a subject is used before it is asked for again. */
  readonly latestMs: number;
  /** How long it is believed that there is nothing. */
  readonly nothingMs: number;
}

/**
 * Asks a schema registry with the interface of Confluent's, and remembers. Schemas never change, so what is known by id or
 * GUID is kept as long as there is room; the latest version of a subject is asked for again in the background. However many
 * ask the same, it is asked once.
 */
export class RegistryClient {
  readonly #http: RegistryHttp;
  readonly #byRef: Cache<RegisteredSchema>;
  readonly #latest: Cache<SchemaVersion>;
  readonly #versions: Cache<SchemaVersion>;
  readonly #known: Cache<SchemaVersion>;
  readonly #registered: Cache<SchemaVersion>;

  constructor({ http, clock, maxEntries, latestMs, nothingMs }: ClientOptions) {
    this.#http = http;
    const forGood: CacheOptions = { clock, maxEntries, freshMs: Infinity, nothingMs };
    this.#byRef = new Cache(forGood, (path) => this.#schema(path));
    this.#versions = new Cache(forGood, (path) => this.#version(path));
    this.#latest = new Cache({ ...forGood, freshMs: latestMs }, (path) => this.#version(path));
    this.#known = new Cache(forGood, (key) => this.#find(key));
    this.#registered = new Cache(forGood, (key) => this.#register(key));
  }

  /** The schema that a message names; at once when it is known. `NOT_FOUND`, and what asking rejects with. */
  schema(ref: SchemaRef): RegisteredSchema | Promise<RegisteredSchema> {
    return this.#byRef.get("guid" in ref ? `/schemas/guids/${ref.guid}` : `/schemas/ids/${ref.id}`);
  }

  /** The latest version of a subject; at once when it is known. */
  latest(subject: string): SchemaVersion | Promise<SchemaVersion> {
    return this.#latest.get(latestPath(subject));
  }

  version(subject: string, version: number): SchemaVersion | Promise<SchemaVersion> {
    return this.#versions.get(`${subjectPath(subject)}/versions/${version}`);
  }

  /** The version of a subject that this schema is; `NOT_FOUND` when it is none. */
  find(subject: string, schema: SchemaInput): SchemaVersion | Promise<SchemaVersion> {
    return this.#known.get(JSON.stringify([subject, requestOf(schema)]));
  }

  /** Makes it the next version of the subject, unless it is one already. `CONFLICT` when it is not compatible. */
  register(subject: string, schema: SchemaInput): SchemaVersion | Promise<SchemaVersion> {
    return this.#registered.get(JSON.stringify([subject, requestOf(schema)]));
  }

  /** May this schema become the next version? Never remembered: the subject or its rule may change. */
  async compatibility(subject: string, schema: SchemaInput): Promise<Compatibility> {
    const path = `/compatibility${subjectPath(subject)}/versions/latest?verbose=true`;
    try {
      const body = requestOf(schema);
      const purpose = `compare a schema with '${subject}'`;
      return compatibilityIn(await this.#http.ask({ method: "POST", path, body, purpose }));
    } catch (error) {
      // A first version is compatible with nothing.
      if (error instanceof HeraldError && error.code === "NOT_FOUND")
        return { compatible: true, reasons: [] };
      throw error;
    }
  }

  async subjects(): Promise<readonly string[]> {
    return textsIn(await this.#http.ask({ method: "GET", path: "/subjects", purpose: "list its subjects" }));
  }

  async #schema(path: string): Promise<RegisteredSchema> {
    return schemaIn(await this.#http.ask({ method: "GET", path, purpose: `give ${path.slice(1)}` }));
  }

  async #version(path: string): Promise<SchemaVersion> {
    const subject = decodeURIComponent(path.split("/")[2] ?? "");
    const purpose = `give ${path.split("/").slice(3).join(" ")} of '${subject}'`;
    return versionIn(await this.#http.ask({ method: "GET", path, purpose }), subject);
  }

  async #find(key: string): Promise<SchemaVersion> {
    const [subject, body] = JSON.parse(key) as [string, SchemaInput];
    const question = { method: "POST", path: subjectPath(subject), body } as const;
    const answer = await this.#http.ask({
      ...question,
      purpose: `find a schema among those of '${subject}'`,
    });
    return { ...asked(body), subject, ...idIn(answer) };
  }

  async #register(key: string): Promise<SchemaVersion> {
    const [subject, body] = JSON.parse(key) as [string, SchemaInput];
    const question = { method: "POST", path: `${subjectPath(subject)}/versions`, body } as const;
    const answer = await this.#http.ask({ ...question, purpose: `register a schema under '${subject}'` });
    this.#latest.forget(latestPath(subject));
    return { ...asked(body), subject, ...idIn(answer) };
  }
}

function asked({ schema, schemaType, references = [] }: SchemaInput): RegisteredSchema {
  return { schema, schemaType, references };
}

/** As it is asked for: Avro is what a registry takes a schema for that does not say. */
function requestOf({ schemaType, schema, references = [] }: SchemaInput): SchemaInput {
  return { schemaType, schema, ...(references.length === 0 ? {} : { references }) };
}

function latestPath(subject: string): string {
  return `${subjectPath(subject)}/versions/latest`;
}

function subjectPath(subject: string): string {
  return `/subjects/${encodeURIComponent(subject)}`;
}
