import { HeraldError } from "../../core/errors.ts";
import type { Compatibility, RegisteredSchema, SchemaReference, SchemaVersion } from "./model.ts";

// What a registry answers is a stranger's JSON: only what is expected is taken from it, and it must be what is expected.

type Fields = Readonly<Record<string, unknown>>;

const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A schema that was asked for by its id. A registry leaves `schemaType` out for Avro. Throws `MALFORMED`. */
export function schemaIn(answer: unknown): RegisteredSchema {
  const { schema, schemaType = "AVRO", references } = fieldsOf(answer);
  if (typeof schema !== "string" || typeof schemaType !== "string") throw unexpected("a schema");
  return { schema, schemaType, references: referencesIn(references) };
}

/** The id in the answer to a registration, and what newer registries say beside it. Throws `MALFORMED`. */
export function idIn(answer: unknown): Pick<SchemaVersion, "id" | "version" | "guid"> {
  const { id, version, guid } = fieldsOf(answer);
  if (!Number.isInteger(id)) throw unexpected("an id");
  return {
    id: id as number,
    version: Number.isInteger(version) && (version as number) > 0 ? (version as number) : undefined,
    guid: typeof guid === "string" && GUID.test(guid) ? guid.toLowerCase() : undefined,
  };
}

/** One version of a subject. Throws `MALFORMED`. */
export function versionIn(answer: unknown, subject: string): SchemaVersion {
  return { subject, ...idIn(answer), ...schemaIn(answer) };
}

/** Throws `MALFORMED`. */
export function compatibilityIn(answer: unknown): Compatibility {
  const { is_compatible: compatible, messages } = fieldsOf(answer);
  if (typeof compatible !== "boolean") throw unexpected("is_compatible");
  return { compatible, reasons: textsIn(messages ?? []) };
}

/** A list of names. Throws `MALFORMED`. */
export function textsIn(answer: unknown): readonly string[] {
  if (Array.isArray(answer) && answer.every((item) => typeof item === "string")) return answer;
  throw unexpected("a list of texts");
}

function referencesIn(value: unknown): readonly SchemaReference[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw unexpected("references");
  return value.map((item: unknown) => {
    const { name, subject, version } = fieldsOf(item);
    if (typeof name !== "string" || typeof subject !== "string" || !Number.isInteger(version))
      throw unexpected("references with name, subject and version");
    return { name, subject, version: version as number };
  });
}

function fieldsOf(answer: unknown): Fields {
  return typeof answer === "object" && answer !== null ? (answer as Fields) : {};
}

function unexpected(wanted: string): HeraldError {
  return new HeraldError(
    "MALFORMED",
    `The schema registry's answer holds no ${wanted.replace(/^an? /, "")} where ${wanted} was asked for: see whether the URL is that of a registry.`,
  );
}
