import type { StandardSchemaV1 } from "../../src/service/schema/standard-schema.ts";

/** A Standard Schema that trims texts and refuses everything else, at once or later. */
export function trimmed(isLate: boolean): StandardSchemaV1<string, string> {
  const judge = (value: unknown) =>
    typeof value === "string"
      ? { value: value.trim() }
      : { issues: [{ message: "must be a text", path: ["at"] }] };
  const validate = isLate ? (value: unknown) => Promise.resolve(value).then(judge) : judge;
  return { "~standard": { version: 1, vendor: "test", validate } };
}
