import { HeraldError, showValue } from "../../core/errors.ts";
import { decodeJson, encodeJson } from "../json.ts";
import { AvroSchema } from "./avro.ts";
import type { RegistryClient } from "./client.ts";
import type { RegisteredSchema } from "./model.ts";

/** Values of one schema, as bytes and back. */
export interface Form {
  readonly schemaType: "AVRO" | "JSON";
  /** What a record strategy names a subject by: the full name of an Avro record, the title of a JSON Schema. */
  readonly recordName: string | undefined;
  /** Throws `SCHEMA_VIOLATION` and what its encoding throws. */
  encode(value: unknown, maxDepth: number): Uint8Array;
  /** Plain data. Throws `SCHEMA_VIOLATION` and what its encoding throws. */
  decode(body: Uint8Array, maxDepth: number): unknown;
}

/** How schemas become forms. */
export interface FormOptions {
  readonly client: RegistryClient;
  /** A check of values against a JSON Schema, which throws `SCHEMA_VIOLATION`; itself throws `UNSAFE_SCHEMA`. Undefined: not checked. */
  readonly jsonCheck: ((schema: unknown) => (value: unknown) => void) | undefined;
  /** What Avro is read as, whatever it was written with. */
  readonly readAs: (() => AvroSchema) | undefined;
}

type Made = { readonly form: Form } | { readonly error: unknown };

/** Schemas that name each other in a circle, or without end, are none. */
const MAX_REFERENCES = 100;

/** Makes forms of schemas, each once. */
export class Forms {
  readonly #options: FormOptions;
  readonly #made = new WeakMap<RegisteredSchema, Made | Promise<Form>>();

  constructor(options: FormOptions) {
    this.#options = options;
  }

  /**
   * The form of a schema, at once unless schemas that it names must be asked for. Throws or rejects with `UNSAFE_SCHEMA`,
   * `UNSUPPORTED` for a kind that is not read here, and with what asking rejects with.
   */
  of(schema: RegisteredSchema): Form | Promise<Form> {
    const known = this.#made.get(schema);
    if (known instanceof Promise) return known;
    const made = known ?? (schema.references.length === 0 ? this.#keep(schema, []) : undefined);
    if (made === undefined) return this.#withReferences(schema);
    if ("error" in made) throw made.error;
    return made.form;
  }

  #keep(schema: RegisteredSchema, references: readonly string[]): Made {
    const made = this.#make(schema, references);
    this.#made.set(schema, made);
    return made;
  }

  #withReferences(schema: RegisteredSchema): Promise<Form> {
    const making = this.#collect(schema, new Map()).then(
      (texts) => {
        const made = this.#keep(schema, [...texts.values()]);
        if ("error" in made) throw made.error;
        return made.form;
      },
      (error: unknown) => {
        // It could not be asked for, which says nothing of the schema.
        this.#made.delete(schema);
        throw error;
      },
    );
    this.#made.set(schema, making);
    return making;
  }

  /** The texts of all schemas that one names, those in front that are named by others. */
  async #collect(schema: RegisteredSchema, texts: Map<string, string>): Promise<Map<string, string>> {
    for (const { subject, version } of schema.references) {
      const name = `${subject} ${version}`;
      if (texts.has(name)) continue;
      if (texts.size >= MAX_REFERENCES) throw tooMany();
      // It has its place before those that it names are asked for: a circle ends here.
      texts.set(name, "");
      const named = await this.#options.client.version(subject, version);
      await this.#collect(named, texts);
      texts.delete(name);
      texts.set(name, named.schema);
    }
    return texts;
  }

  #make(schema: RegisteredSchema, references: readonly string[]): Made {
    try {
      if (schema.schemaType === "AVRO")
        return { form: this.#avro(new AvroSchema(schema.schema, references)) };
      if (schema.schemaType === "JSON" && references.length === 0) return { form: this.#json(schema.schema) };
      throw unsupported(schema);
    } catch (error) {
      return { error };
    }
  }

  #avro(schema: AvroSchema): Form {
    const { readAs } = this.#options;
    return {
      schemaType: "AVRO",
      recordName: schema.recordName,
      encode: (value, maxDepth) => schema.encode(value, maxDepth),
      decode: (body, maxDepth) => schema.decode(body, maxDepth, readAs?.()),
    };
  }

  #json(text: string): Form {
    const schema = jsonOf(text);
    const check = this.#options.jsonCheck?.(schema) ?? (() => {});
    const { title } = (schema ?? {}) as { readonly title?: unknown };
    return {
      schemaType: "JSON",
      recordName: typeof title === "string" ? title : undefined,
      encode: (value, maxDepth) => {
        if (value instanceof Uint8Array)
          throw new HeraldError(
            "UNSERIALIZABLE",
            "The payload is bytes where a JSON Schema is: send a value.",
          );
        check(value);
        return encodeJson(value, maxDepth);
      },
      decode: (body, maxDepth) => {
        const value = decodeJson(body, maxDepth);
        check(value);
        return value;
      },
    };
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new HeraldError("UNSAFE_SCHEMA", "The JSON Schema is no JSON.", { cause });
  }
}

function unsupported({ schemaType, references }: RegisteredSchema): HeraldError {
  const message =
    schemaType === "JSON"
      ? "The JSON Schema refers to other schemas of the registry, which is not read here: put them into it as $defs."
      : `The schema is of the kind ${showValue(schemaType)}, which is not read here: use Avro or JSON Schema.`;
  return new HeraldError("UNSUPPORTED", message, { details: { schemaType, references: references.length } });
}

function tooMany(): HeraldError {
  return new HeraldError("UNSAFE_SCHEMA", `The schema refers to more than ${MAX_REFERENCES} others.`);
}
