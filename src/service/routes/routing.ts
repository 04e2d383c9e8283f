import { plainCopy } from "../../codec/plain.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import type { Message } from "../../core/message.ts";
import { agentChannel, BROADCAST_CHANNEL } from "../../core/names.ts";
import { findCircle, showCircle } from "../../routing/rules/circles.ts";
import type { DefaultRoute, RoutingRule } from "../../routing/rules/rule.ts";
import { RuleTable, type Verdict } from "../../routing/rules/rule-table.ts";
import {
  expressionTransform,
  functionTransform,
  limitsOf,
  templateTransform,
  type Transform,
  type TransformFunction,
  type TransformLimits,
} from "../../routing/transform/transform.ts";
import { valueCheck } from "../contracts.ts";
import { readManifestFile } from "../manifest/load-manifest.ts";
import { manifestError } from "../manifest/manifest-error.ts";
import type { RoutingDocument, RoutingReport, TransformSpec } from "./model.ts";
import { readRouting, readRoutingObject } from "./read-routing.ts";

/** What routing needs beside its documents. */
export interface RoutingOptions {
  /** Functions by the names that transforms of type `custom` use. */
  readonly functions?: Readonly<Record<string, TransformFunction>>;
  /** What one transform of one message may take. */
  readonly limits?: TransformLimits;
}

/** One copy that a message would be sent as. */
export interface ExplainedCopy {
  /** Null: every agent that listens to broadcasts. */
  readonly target: string | null;
  readonly channel: string;
  /** Undefined for the default route. */
  readonly rule: RoutingRule | undefined;
  readonly result:
    | { readonly ok: true; readonly payload: unknown }
    | { readonly ok: false; readonly error: HeraldError };
}

/** What rules make of a message, and why. */
export interface Explanation {
  /** Every rule, in the order in which they are looked at. */
  readonly verdicts: readonly Verdict[];
  readonly copies: readonly ExplainedCopy[];
  /** Set when no rule took it. */
  readonly otherwise: DefaultRoute | undefined;
}

const NO_ROUTE: DefaultRoute = { action: "drop", targets: [] };

/** Rules between agents, ready to be used by any number of services. Made by {@link loadRouting} or {@link createRouting}. */
export class Routing {
  readonly table: RuleTable;
  readonly #transforms: ReadonlyMap<string, Transform>;

  constructor(table: RuleTable, transforms: ReadonlyMap<string, Transform>) {
    this.table = table;
    this.#transforms = transforms;
  }

  /** All rules, in the order in which they are looked at. */
  get rules(): readonly RoutingRule[] {
    return this.table.rules;
  }

  /** The payload that a rule's targets get; at once, or later. Throws or rejects with what its transform does. */
  payloadFor(rule: RoutingRule, message: Message): unknown {
    if (rule.transform === undefined) return message.payload;
    const transform = this.#transforms.get(keyOf(rule.document, rule.transform)) as Transform;
    return transform(message);
  }

  /** What every rule would make of a message and why, transforms run; nothing is sent. */
  async explain(message: Message): Promise<Explanation> {
    const { copies, otherwise } = this.table.plan(message);
    const explained = copies.map(async ({ target, rule }): Promise<ExplainedCopy> => {
      const to = { target, channel: agentChannel(target), rule };
      try {
        return { ...to, result: { ok: true, payload: await this.payloadFor(rule, message) } };
      } catch (error) {
        return { ...to, result: { ok: false, error: toHeraldError(error) } };
      }
    });
    const others = otherwise === undefined ? [] : broadcastTargets(otherwise);
    return {
      verdicts: this.table.explain(message),
      copies: [
        ...(await Promise.all(explained)),
        ...others.map((to) => ({
          ...to,
          rule: undefined,
          result: { ok: true, payload: message.payload } as const,
        })),
      ],
      otherwise,
    };
  }
}

/** Where a message goes that no rule takes, when it is broadcast. */
export function broadcastTargets({ action, targets }: DefaultRoute): readonly {
  readonly target: string | null;
  readonly channel: string;
}[] {
  if (action !== "broadcast") return [];
  if (targets.length === 0) return [{ target: null, channel: BROADCAST_CHANNEL }];
  return targets.map((target) => ({ target, channel: agentChannel(target) }));
}

/**
 * Reads `kind: MessageRouting` files, each with one document or several, and makes their rules ready: filters and expressions
 * are compiled, transforms bound. Rejects with `NOT_FOUND`, with `INVALID_MANIFEST` (its details hold every problem; also for
 * circular routes, which the sentence names, and for two documents of one name), `UNSUPPORTED` naming a package to add.
 */
export async function loadRouting(
  files: string | readonly string[],
  options: RoutingOptions = {},
): Promise<Routing> {
  const reports: RoutingReport[] = [];
  for (const file of [files].flat()) reports.push(readRouting(await readManifestFile(file), file));
  return assemble(reports, options);
}

/** As {@link loadRouting}, from documents as objects in code, or as YAML or JSON text. */
export async function createRouting(documents: unknown, options: RoutingOptions = {}): Promise<Routing> {
  const given: readonly unknown[] = Array.isArray(documents) ? documents : [documents];
  const reports = given.map((document) =>
    typeof document === "string" ? readRouting(document) : readRoutingObject(document),
  );
  return assemble(reports, options);
}

async function assemble(reports: readonly RoutingReport[], options: RoutingOptions): Promise<Routing> {
  const wrong = reports.find(({ valid }) => !valid);
  if (wrong !== undefined) throw manifestError(wrong);
  const documents = reports.flatMap((report) => report.documents);
  const conflict = conflictOf(documents);
  if (conflict !== undefined)
    throw new HeraldError("INVALID_MANIFEST", conflict.message, { details: { ...conflict } });
  const transforms = new Map<string, Transform>();
  for (const { name: document, transforms: specs } of documents)
    for (const [name, spec] of Object.entries(specs))
      transforms.set(keyOf(document, name), await transformOf(spec, `'${name}' of '${document}'`, options));
  const otherwise = documents.find(({ defaultRoute }) => defaultRoute !== undefined)?.defaultRoute;
  return new Routing(
    new RuleTable(
      documents.flatMap(({ rules }) => rules),
      otherwise ?? NO_ROUTE,
    ),
    transforms,
  );
}

/** Something that documents say of each other and that cannot hold. */
export interface RoutingConflict {
  /** A whole sentence. */
  readonly message: string;
  /** Agents of a circle, the first again at its end. */
  readonly circle?: readonly string[];
  readonly rules?: readonly string[];
}

/** The first conflict among documents: a name, an id or a default route twice, or a circle of routes. */
export function conflictOf(documents: readonly RoutingDocument[]): RoutingConflict | undefined {
  const rules = documents.flatMap((document) => document.rules);
  const name = firstRepeated(documents.map((document) => document.name));
  if (name !== undefined)
    return { message: `Two routing documents are called '${name}': rename one of them.` };
  const id = firstRepeated(rules.map((rule) => rule.id));
  if (id !== undefined)
    return { message: `Two routing rules have the id '${id}': change one of them.`, rules: [id] };
  const defaults = documents
    .filter(({ defaultRoute }) => defaultRoute !== undefined)
    .map((document) => document.name);
  if (defaults.length > 1)
    return {
      message: `Documents ${defaults.join(" and ")} have a defaultRoute each, and all rules share one: keep one of them.`,
    };
  const circle = findCircle(rules);
  if (circle === undefined) return undefined;
  return {
    message: `Routes go in a circle: ${showCircle(circle)}. Name other agents in source or targets, or use another channel for one of the steps.`,
    circle: [circle[0]?.from ?? "", ...circle.map(({ to }) => to)],
    rules: circle.map(({ rule }) => rule.id),
  };
}

function firstRepeated(values: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return values.find((value) => seen.has(value) || !seen.add(value));
}

function keyOf(document: string, transform: string): string {
  return `${document} ${transform}`;
}

async function transformOf(spec: TransformSpec, what: string, options: RoutingOptions): Promise<Transform> {
  let transform: Transform;
  try {
    transform = await unchecked(spec, options);
  } catch (cause) {
    const { code, message, details } = toHeraldError(cause);
    const named = code === "INVALID_ARGUMENT" ? "INVALID_MANIFEST" : code;
    throw new HeraldError(named, `Transform ${what}: ${message}`, { details, cause });
  }
  const check = valueCheck(spec.outputSchema, `transform ${what}`);
  if (check === undefined) return transform;
  return (message) => {
    const result = transform(message);
    return result instanceof Promise ? result.then(check) : check(result);
  };
}

async function unchecked({ type, expression }: TransformSpec, options: RoutingOptions): Promise<Transform> {
  const limits = limitsOf(options.limits);
  if (type === "template") return templateTransform(expression, limits);
  if (type !== "custom") return await expressionTransform(type, expression as string, limits);
  const name = expression as string;
  const { functions = {} } = options;
  const found = Object.hasOwn(functions, name) ? functions[name] : undefined;
  if (typeof found === "function") return functionTransform(onCopy(found), limits);
  const known = Object.keys(functions).toSorted().join(", ") || "none";
  throw new HeraldError(
    "INVALID_ARGUMENT",
    `there is no function '${name}': give it in functions; there are: ${known}.`,
  );
}

/** A function may change what it is given, or look at it later: it is given a copy. */
function onCopy(run: TransformFunction): TransformFunction {
  return (given, message) => {
    const payload = plainCopy(given, DEFAULT_LIMITS.maxDepth);
    return run(payload, { ...message, payload });
  };
}
