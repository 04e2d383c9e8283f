import { describeThrown, isHeraldError } from "../../core/errors.ts";
import { checkPattern, isChannelName, isWildcard } from "../../core/pattern.ts";
import type { PriorityName } from "../../core/priority.ts";
import type { SchemaLike } from "../schema/model.ts";
import { inspectSchema } from "../schema/inspect.ts";
import { compileSchema } from "../schema/compile-schema.ts";
import { isStandardSchema } from "../schema/standard-schema.ts";
import { compileFilter } from "../../routing/filter.ts";
import { bundleSchema } from "./bundle.ts";
import type { CommandSpec, FilterSpec, PublishedChannel, SubscribedChannel } from "./model.ts";
import {
  isPlainObject,
  present,
  readObject,
  type KnownKeys,
  type ObjectReader,
  type Place,
} from "./object-reader.ts";

const PUBLISHED: KnownKeys = {
  keys: ["channel", "description", "schema", "examples", "contentType", "tags"],
  hints: { name: "channel", topic: "channel", payload: "schema", example: "examples" },
};
const SUBSCRIBED: KnownKeys = {
  keys: ["channel", "description", "schema", "handler", "filter", "priority", "maxConcurrency"],
  hints: { name: "channel", topic: "channel", pattern: "channel", concurrency: "maxConcurrency" },
};
const COMMAND: KnownKeys = {
  keys: ["name", "description", "inputSchema", "outputSchema", "timeoutSeconds", "idempotent", "async"],
  hints: {
    input: "inputSchema",
    schema: "inputSchema",
    output: "outputSchema",
    timeout: "timeoutSeconds",
    timeoutMs: "timeoutSeconds",
  },
};
const FILTER: KnownKeys = {
  keys: ["expression", "fields"],
  otherwise: "Put conditions on single fields under fields.",
};

const GRAMMAR =
  "a channel name: tokens of A-Z a-z 0-9 _ : - joined by dots, at most 200 bytes, without wildcards";
const OSSA_RESERVED = ["ossa.", "system.", "internal."];
const HERALD_RESERVED = ["reply.", "dlq.", "agent."];
const CONTENT_TYPE = /^[a-z]+\/[a-z0-9][a-z0-9.+-]*$/i;
const HANDLER = /^[A-Za-z_$][\w$.-]*$/;

/** What the public schemas of D1 and D2 take; other names work here and fail their validators. */
const OSSA_CHANNEL = /^(?:[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*|[a-z0-9]+(?:\.[a-z0-9]+)*)$/;
const OSSA_PATTERN = /^[a-z0-9]+(?:\.[a-z0-9*]+)*$/;
const OSSA_COMMAND = /^[a-z][a-z0-9_]*$/;

/** Reads one of `publishes`. */
export function readPublished(value: unknown, place: Place): PublishedChannel | undefined {
  const reader = readObject(value, place, PUBLISHED);
  if (reader === undefined) return undefined;
  const channel = readPublishedName(reader, place);
  const schema = readSchema(reader, "schema");
  const examples = reader.has("examples") ? reader.list("examples") : undefined;
  if (!reader.has("schema"))
    place.problems.warn({
      segments: place.segments,
      message: "has no schema, so that anything can be published here",
    });
  if (schema !== undefined && examples !== undefined) checkExamples(examples, schema);
  if (channel === undefined) return undefined;
  return present<PublishedChannel>({
    channel,
    description: reader.text("description"),
    schema,
    examples: examples?.map(([example]) => example),
    contentType: readContentType(reader),
    tags: readTags(reader),
  });
}

/** Reads one of `subscribes`. */
export function readSubscribed(value: unknown, place: Place): SubscribedChannel | undefined {
  const reader = readObject(value, place, SUBSCRIBED);
  if (reader === undefined) return undefined;
  const channel = readPattern(reader, place);
  const rest = {
    description: reader.text("description"),
    schema: readSchema(reader, "schema"),
    handler: readHandler(reader),
    filter: readFilter(reader),
    priority: reader.word<PriorityName>("priority", ["low", "normal", "high", "critical"]),
    maxConcurrency: reader.whole("maxConcurrency", { min: 1 }),
  };
  return channel === undefined ? undefined : present<SubscribedChannel>({ channel, ...rest });
}

/** Reads one of `commands`. */
export function readCommand(value: unknown, place: Place): CommandSpec | undefined {
  const reader = readObject(value, place, COMMAND);
  if (reader === undefined) return undefined;
  const name = readRequired(reader, "name", place);
  if (name !== undefined && (!isChannelName(name) || name.includes("."))) {
    reader.wrong("name", "one token of A-Z a-z 0-9 _ : -, because it becomes part of a channel name");
  } else if (name !== undefined && !OSSA_COMMAND.test(name)) {
    place.problems.warn({
      segments: reader.at("name").segments,
      message: "is not a name that OSSA validators take",
      expected: "lower-case letters, digits and _",
    });
  }
  const rest = {
    description: reader.text("description"),
    inputSchema: readSchema(reader, "inputSchema"),
    outputSchema: readSchema(reader, "outputSchema"),
    timeoutSeconds: reader.whole("timeoutSeconds", { min: 1, max: 3600 }),
    idempotent: reader.flag("idempotent"),
    async: reader.flag("async"),
  };
  return name === undefined ? undefined : present<CommandSpec>({ name, ...rest });
}

function readRequired(reader: ObjectReader, key: string, place: Place): string | undefined {
  if (reader.has(key)) return reader.text(key);
  place.problems.error({ segments: place.segments, message: `has no ${key}`, expected: `a key ${key}` });
  return undefined;
}

function readPublishedName(reader: ObjectReader, place: Place): string | undefined {
  const channel = readRequired(reader, "channel", place);
  if (channel === undefined) return undefined;
  if (!isChannelName(channel)) return reader.wrong("channel", GRAMMAR);
  const { segments, problems } = reader.at("channel");
  const prefix = [...OSSA_RESERVED, ...HERALD_RESERVED].find((reserved) => channel.startsWith(reserved));
  if (prefix !== undefined) {
    const hint =
      prefix === "agent."
        ? "Commands are declared under commands; they need no channel."
        : "Choose another first token.";
    problems.error({ segments, message: `starts with ${prefix}, which is reserved`, hint });
    return undefined;
  }
  if (!OSSA_CHANNEL.test(channel)) warnOfName(reader);
  return channel;
}

function readPattern(reader: ObjectReader, place: Place): string | undefined {
  const channel = readRequired(reader, "channel", place);
  if (channel === undefined) return undefined;
  try {
    checkPattern(channel);
  } catch (error) {
    if (!isHeraldError(error)) throw error;
    return reader.wrong("channel", "a channel name or a pattern: * for one token, a last # for zero or more");
  }
  const { segments, problems } = reader.at("channel");
  const prefix = OSSA_RESERVED.find((reserved) => channel.startsWith(reserved));
  if (prefix !== undefined) {
    problems.error({
      segments,
      message: `starts with ${prefix}, which is reserved`,
      hint: "Choose another first token.",
    });
    return undefined;
  }
  if (isWildcard(channel)) problems.mark("D1", `wildcard ${channel}`);
  // Dead letters, unicast and broadcast have names of Herald's own.
  const isOurs =
    HERALD_RESERVED.some((reserved) => channel.startsWith(reserved)) ||
    /^(?:agent-|hub-broadcast$)/.test(channel);
  if (!isOurs && !OSSA_CHANNEL.test(channel) && !OSSA_PATTERN.test(channel)) warnOfName(reader);
  return channel;
}

function warnOfName(reader: ObjectReader): void {
  const { segments, problems } = reader.at("channel");
  problems.warn({
    segments,
    message: "is not a name that OSSA validators take",
    expected: "lower-case letters and digits joined by dots, _ inside a token",
  });
}

function readHandler(reader: ObjectReader): string | undefined {
  const handler = reader.text("handler");
  if (handler === undefined) return undefined;
  // A name that every object has would find a function that nobody wrote.
  if (HANDLER.test(handler) && !(handler in Object.prototype)) return handler;
  return reader.wrong("handler", "the name of a function");
}

/** The `filter` of a subscription or rule. */
export function readFilter(reader: ObjectReader): FilterSpec | undefined {
  const filter = reader.object("filter", FILTER);
  if (filter === undefined) return undefined;
  const fields = filter.raw("fields");
  if (fields !== undefined && !isPlainObject(fields))
    filter.wrong("fields", "an object of field names and values");
  const spec = present<FilterSpec>({
    expression: filter.text("expression"),
    fields: isPlainObject(fields) ? fields : undefined,
  });
  judgeFilter(spec, reader.at("filter"));
  return spec;
}

/** A filter that cannot be compiled is found now, not when the agent starts. */
function judgeFilter(spec: FilterSpec, { segments, problems }: Place): void {
  for (const key of ["fields", "expression"] as const) {
    try {
      if (spec[key] !== undefined) compileFilter({ [key]: spec[key] });
    } catch (error) {
      problems.error({ segments: [...segments, key], message: `cannot be used: ${describeThrown(error)}` });
    }
  }
}

function readContentType(reader: ObjectReader): string | undefined {
  const type = reader.text("contentType");
  if (type === undefined || CONTENT_TYPE.test(type)) return type;
  return reader.wrong("contentType", "a media type such as application/json");
}

function readTags(reader: ObjectReader): readonly string[] | undefined {
  if (!reader.has("tags")) return undefined;
  const tags = reader.list("tags").map(([tag]) => tag);
  if (tags.every((tag) => typeof tag === "string")) return tags;
  return reader.wrong("tags", "a list of words");
}

/** A schema of a channel, command or transform, judged with every problem at its own place. In code it may be a Standard Schema. */
export function readSchema(reader: ObjectReader, key: string): SchemaLike | undefined {
  const value = reader.raw(key);
  if (value === undefined) return undefined;
  if (isStandardSchema(value)) return value;
  const { segments, problems, document } = reader.at(key);
  const { schema, origins } =
    document === undefined ? { schema: value, origins: new Map() } : bundleSchema(value, document);
  const inspection = inspectSchema(schema);
  if (inspection.ok) return inspection.root;
  for (const problem of inspection.problems) {
    const [first, part, ...rest] = problem.segments;
    const origin = first === "$defs" ? origins.get(String(part)) : undefined;
    problems.error({
      ...problem,
      segments: origin === undefined ? [...segments, ...problem.segments] : [...origin, ...rest],
    });
  }
  return undefined;
}

function checkExamples(examples: readonly (readonly [unknown, Place])[], schema: SchemaLike): void {
  // What other validators do when they run is theirs to decide; nothing of theirs is run before the agent is.
  if (isStandardSchema(schema)) return;
  const validator = compileSchema(schema);
  for (const [example, { segments, problems }] of examples) {
    const result = validator.validate(example);
    if (result instanceof Promise || result.ok) continue;
    const [issue] = result.issues;
    const where = issue?.path === "" ? "it" : issue?.path;
    problems.warn({ segments, message: `does not match the schema beside it: ${where} ${issue?.message}` });
  }
}
