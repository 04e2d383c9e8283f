import { isHeraldError } from "../../core/errors.ts";
import { checkAgentId } from "../../core/names.ts";
import { nearest } from "../../core/nearest.ts";
import { checkPattern } from "../../core/pattern.ts";
import type { PriorityName } from "../../core/priority.ts";
import { exemptPrefix, type DefaultRoute, type RoutingRule } from "../../routing/rules/rule.ts";
import { readFilter, readSchema } from "../manifest/channels.ts";
import {
  present,
  readObject,
  type KnownKeys,
  type ObjectReader,
  type Place,
} from "../manifest/object-reader.ts";
import type { TransformSpec } from "./model.ts";

const RULE: KnownKeys = {
  keys: ["id", "description", "source", "channel", "targets", "filter", "transform", "priority", "enabled"],
  hints: {
    from: "source",
    agent: "source",
    to: "targets",
    target: "targets",
    pattern: "channel",
    topic: "channel",
    name: "id",
  },
};
const DEFAULT_ROUTE: KnownKeys = { keys: ["action", "targets"], hints: { target: "targets" } };
const TRANSFORM: KnownKeys = {
  keys: ["type", "description", "expression", "outputSchema"],
  hints: { schema: "outputSchema", template: "expression", query: "expression", function: "expression" },
};

const ID = /^[\w.:/ [\]-]{1,120}$/;
const SOURCE = /^[A-Za-z0-9_:*-]{1,100}$/;
const MAX_TARGETS = 100;

/** What a rule may refer to, and what it is called when it has no id. */
export interface RuleContext {
  readonly document: string;
  readonly transforms: readonly string[];
  readonly index: number;
}

/** Reads one of `rules`. */
export function readRule(value: unknown, place: Place, context: RuleContext): RoutingRule | undefined {
  const reader = readObject(value, place, RULE);
  if (reader === undefined) return undefined;
  for (const key of ["source", "channel", "targets"])
    if (!reader.has(key))
      place.problems.error({ segments: place.segments, message: `has no ${key}`, expected: `a key ${key}` });
  const id = reader.text("id") ?? `${context.document}[${context.index}]`;
  if (!ID.test(id)) reader.wrong("id", "1 to 120 letters, digits and . : / _ -");
  return present<RoutingRule>({
    id,
    document: context.document,
    source: readSource(reader) ?? "",
    channel: readChannel(reader) ?? "",
    targets: readTargets(reader),
    filter: readFilter(reader),
    transform: readTransformName(reader, context.transforms),
    priority: reader.word<PriorityName>("priority", ["low", "normal", "high", "critical"]) ?? "normal",
    enabled: reader.flag("enabled") ?? true,
  });
}

/** Reads `defaultRoute`. */
export function readDefaultRoute(spec: ObjectReader): DefaultRoute | undefined {
  const reader = spec.object("defaultRoute", DEFAULT_ROUTE);
  if (reader === undefined) return undefined;
  const action = reader.word("action", ["drop", "dlq", "broadcast"] as const) ?? "drop";
  const targets = reader.has("targets") ? readTargets(reader) : [];
  if (targets.length > 0 && action !== "broadcast")
    reader.wrong("targets", "left out, because only broadcast has targets");
  return { action, targets };
}

/** Reads one of `transforms`; what its expression says is judged when it is put to use. */
export function readTransform(value: unknown, place: Place, name: string): TransformSpec | undefined {
  const reader = readObject(value, place, TRANSFORM);
  if (reader === undefined) return undefined;
  const type = reader.word("type", ["jsonata", "jmespath", "template", "custom"] as const, {
    function: "custom",
  });
  if (!reader.has("type"))
    place.problems.error({
      segments: place.segments,
      message: "has no type",
      expected: "jsonata, jmespath, template or custom",
    });
  const expression = type === "template" ? reader.raw("expression") : reader.text("expression");
  if (!reader.has("expression") && type !== "custom")
    place.problems.error({
      segments: place.segments,
      message: "has no expression",
      expected: "a key expression",
    });
  const outputSchema = readSchema(reader, "outputSchema");
  if (type === undefined) return undefined;
  return present<TransformSpec>({ type, expression: expression ?? name, outputSchema });
}

function readSource(reader: ObjectReader): string | undefined {
  const source = reader.text("source");
  if (source === undefined || SOURCE.test(source)) return source;
  return reader.wrong("source", "an agent's id, or a pattern of one: * for any run of characters");
}

function readChannel(reader: ObjectReader): string | undefined {
  const channel = reader.text("channel");
  if (channel === undefined) return undefined;
  try {
    checkPattern(channel);
  } catch (error) {
    if (!isHeraldError(error)) throw error;
    return reader.wrong("channel", "a channel name or a pattern: * for one token, a last # for zero or more");
  }
  const prefix = exemptPrefix(channel);
  if (prefix === undefined) return channel;
  const { segments, problems } = reader.at("channel");
  problems.error({
    segments,
    message: `begins with ${prefix}, where rules do not reach`,
    hint: "Commands, replies, dead letters and what goes to one agent are not routed.",
  });
  return undefined;
}

function readTargets(reader: ObjectReader): readonly string[] {
  const items = reader.list("targets");
  if (reader.has("targets") && (items.length === 0 || items.length > MAX_TARGETS))
    reader.wrong("targets", `a list of 1 to ${MAX_TARGETS} agents`);
  const targets = items.flatMap(([item, { segments, problems }]) => {
    try {
      checkAgentId(item);
      return item;
    } catch (error) {
      if (!isHeraldError(error)) throw error;
      problems.error({
        segments,
        message: "is not an agent's id",
        expected: "1 to 100 characters of A-Z a-z 0-9 _ : -",
      });
      return [];
    }
  });
  return [...new Set(targets)];
}

function readTransformName(reader: ObjectReader, known: readonly string[]): string | undefined {
  const name = reader.text("transform");
  if (name === undefined || known.includes(name)) return name;
  const near = nearest(name, known);
  const others =
    known.length === 0
      ? "The document declares no transforms."
      : `There are: ${known.slice(0, 10).join(", ")}.`;
  return reader.wrong(
    "transform",
    "the name of a transform of this document",
    near === undefined ? others : `Did you mean ${near}?`,
  );
}
