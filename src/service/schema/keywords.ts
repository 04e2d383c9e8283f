import { nearest } from "../../core/nearest.ts";
import { judgePattern } from "./pattern-safety.ts";
import { show } from "./problem.ts";

/** What the value of a keyword has to be. */
export type KeywordKind =
  | "schema"
  | "schemas"
  | "items"
  | "schemaMap"
  | "dependencies"
  | "nameMap"
  | "names"
  | "count"
  | "number"
  | "positive"
  | "flag"
  | "text"
  | "type"
  | "enum"
  | "list"
  | "any"
  | "default"
  | "pattern"
  | "format"
  | "draft"
  | "uri";

const words = (kind: KeywordKind, text: string): readonly (readonly [string, KeywordKind])[] =>
  text.split(" ").map((word) => [word, kind]);

/** Every keyword that is read: those of draft-07 and of 2020-12 together, without dynamic references and `$vocabulary`. */
export const KEYWORDS: ReadonlyMap<string, KeywordKind> = new Map([
  ...words(
    "schema",
    "additionalItems additionalProperties contains contentSchema else if not propertyNames then",
  ),
  ...words("schema", "unevaluatedItems unevaluatedProperties"),
  ...words("schemas", "allOf anyOf oneOf prefixItems"),
  ...words("items", "items"),
  ...words("schemaMap", "$defs definitions dependentSchemas patternProperties properties"),
  ...words("dependencies", "dependencies"),
  ...words("nameMap", "dependentRequired"),
  ...words("names", "required"),
  ...words(
    "count",
    "maxContains maxItems maxLength maxProperties minContains minItems minLength minProperties",
  ),
  ...words("number", "exclusiveMaximum exclusiveMinimum maximum minimum"),
  ...words("positive", "multipleOf"),
  ...words("flag", "deprecated readOnly uniqueItems writeOnly"),
  ...words("text", "$comment contentEncoding contentMediaType description title"),
  ...words("type", "type"),
  ...words("enum", "enum"),
  ...words("list", "examples"),
  ...words("any", "const"),
  ...words("default", "default"),
  ...words("pattern", "pattern"),
  ...words("format", "format"),
  ...words("draft", "$schema"),
  ...words("uri", "$anchor $id $ref"),
]);

const TYPES = ["array", "boolean", "integer", "null", "number", "object", "string"];

/** The formats that are checked; any other name is refused. */
const FORMATS: readonly string[] = (
  "date date-time duration email hostname idn-email idn-hostname ipv4 ipv6 iri iri-reference json-pointer regex " +
  "relative-json-pointer time uri uri-reference uri-template uuid"
).split(" ");

const DRAFT = /^https?:\/\/json-schema\.org\/(?:draft-07\/schema|draft\/2020-12\/schema)#?$/;

/** What is wrong with a keyword's value. */
export interface ValueProblem {
  readonly message: string;
  readonly hint?: string;
}

/** Checks the value of a keyword whose value is not made of schemas. Undefined: nothing is wrong. */
export function checkValue(kind: KeywordKind, value: unknown): ValueProblem | undefined {
  if (
    typeof value === "object" &&
    value !== null &&
    Object.hasOwn(value, "$data") &&
    kind !== "any" &&
    kind !== "default"
  ) {
    return { message: "must not be a $data reference: values from the payload cannot change its schema" };
  }
  switch (kind) {
    case "type":
      return checkType(value);
    case "format":
      return checkFormat(value);
    case "pattern":
      return typeof value === "string" ? undefined : mustBe("a regular expression as text", value);
    case "draft":
      return typeof value === "string" && DRAFT.test(value) ? undefined : wrongDraft(value);
    case "default":
      return pollutes(value) ? { message: "must not fill constructor.prototype" } : undefined;
    case "number":
      return typeof value === "number" ? undefined : { ...mustBe("a number", value), ...draft04(value) };
    default:
      return EXPECTED[kind]?.test(value) === false ? mustBe(EXPECTED[kind].text, value) : undefined;
  }
}

const isCount = (value: unknown): boolean =>
  typeof value === "number" && Number.isInteger(value) && value >= 0;
const isNames = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every((name) => typeof name === "string") &&
  new Set(value).size === value.length;

const EXPECTED: Partial<
  Record<KeywordKind, { readonly text: string; readonly test: (value: unknown) => boolean }>
> = {
  count: { text: "a whole number, 0 or more", test: isCount },
  positive: { text: "a number above 0", test: (value) => typeof value === "number" && value > 0 },
  flag: { text: "true or false", test: (value) => typeof value === "boolean" },
  text: { text: "text", test: (value) => typeof value === "string" },
  uri: { text: "text", test: (value) => typeof value === "string" && value !== "" },
  enum: { text: "a list of at least one value", test: (value) => Array.isArray(value) && value.length > 0 },
  list: { text: "a list", test: Array.isArray },
  names: { text: "a list of different names", test: isNames },
};

function mustBe(expected: string, value: unknown): ValueProblem {
  return { message: `must be ${expected}, not ${show(value)}` };
}

function checkType(value: unknown): ValueProblem | undefined {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const wrong = names.find((name) => typeof name !== "string" || !TYPES.includes(name));
  if (wrong === undefined && names.length > 0 && new Set(names).size === names.length) return undefined;
  const meant = typeof wrong === "string" ? nearest(wrong, TYPES) : undefined;
  return {
    message: `must be one of ${TYPES.join(", ")}, or a list of different ones, not ${show(wrong ?? value)}`,
    ...(meant === undefined ? {} : { hint: `Did you mean ${meant}?` }),
  };
}

function checkFormat(value: unknown): ValueProblem | undefined {
  if (typeof value === "string" && FORMATS.includes(value)) return undefined;
  const meant = typeof value === "string" ? nearest(value, FORMATS) : undefined;
  return {
    message: `must be one of ${FORMATS.join(", ")}, not ${show(value)}`,
    hint: meant === undefined ? "Use a pattern for a format of your own." : `Did you mean ${meant}?`,
  };
}

function wrongDraft(value: unknown): ValueProblem {
  return {
    message: `must name draft-07 or 2020-12, not ${show(value)}`,
    hint: "Write https://json-schema.org/draft/2020-12/schema, or leave $schema out.",
  };
}

function draft04(value: unknown): { readonly hint?: string } {
  return typeof value === "boolean" ? { hint: "That is draft-04; write the limit itself here." } : {};
}

function pollutes(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(
    ([key, item]: readonly [string, unknown]) =>
      (key === "constructor" &&
        typeof item === "object" &&
        item !== null &&
        Object.hasOwn(item, "prototype")) ||
      pollutes(item),
  );
}

/** What is wrong with the pattern of a text or, with no `maxLength` possible, of property names. */
export function checkRegex(
  source: string,
  beside: { readonly maxLength?: unknown } | "names",
): ValueProblem | undefined {
  const verdict = judgePattern(source);
  if (verdict.kind === "safe") return undefined;
  if (verdict.kind === "refused") {
    return {
      message: `${show(source)} is refused: ${verdict.reason}`,
      hint: "Write it so that nothing repeats what already repeats, and no text can be matched in two ways.",
    };
  }
  const limit = beside === "names" ? undefined : beside.maxLength;
  if (typeof limit === "number" && limit <= verdict.maxLength) return undefined;
  return {
    message: `${show(source)} is refused for long text, because its time grows faster than the text`,
    hint: `Anchor it with ^${beside === "names" ? "" : `, or add maxLength: ${verdict.maxLength} or less beside it`}.`,
  };
}
