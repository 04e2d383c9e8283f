import { plainCopy } from "../../codec/plain.ts";
import { HeraldError } from "../../core/errors.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import type { Message } from "../../core/message.ts";
import type { Middleware } from "../../core/middleware.ts";
import { checkPattern } from "../../core/pattern.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import { priorityLevel } from "../../core/priority.ts";
import { exemptPrefix } from "../../routing/rules/rule.ts";
import {
  expressionTransform,
  functionTransform,
  limitsOf,
  templateTransform,
  type Transform,
  type TransformFunction,
  type TransformLimits,
} from "../../routing/transform/transform.ts";
import type { OutgoingMessage, PublishMiddleware } from "../publish-chain.ts";

/** One step of a pipeline: an expression, a template, or a function of the program. */
export type PipelineStep =
  | { readonly jsonata: string }
  | { readonly jmespath: string }
  | { readonly template: unknown }
  | TransformFunction;

/** What a pipeline does, and to which messages. */
export interface PipelineOptions {
  /** Channel names or patterns. Default: all but those of commands, replies, dead letters and of single agents. */
  readonly channels?: string | readonly string[];
  /** The payload goes through them in this order. */
  readonly steps: readonly PipelineStep[];
  /** What each step of one message may take. */
  readonly limits?: TransformLimits;
}

/** Steps that make payloads over, as middleware. */
export interface Pipeline {
  /** For `service.use()`: after a message was checked against its schema, before its handler. What fails is dead-lettered at once. */
  readonly receive: Middleware;
  /** For `service.usePublish()`: before a message is held to its contract and routed. What fails rejects the publish. */
  readonly publish: PublishMiddleware;
  /** The payload after all steps. Rejects with `TRANSFORM_FAILED` and what functions throw of it. */
  run(message: Message): Promise<unknown>;
}

/**
 * Makes a pipeline. Rejects with `INVALID_ARGUMENT`, naming the step, `INVALID_CHANNEL`, or `UNSUPPORTED` naming the package that
 * an expression needs.
 */
export async function createPipeline(options: PipelineOptions): Promise<Pipeline> {
  const { channels, steps } = options;
  const limits = limitsOf(options.limits);
  const transforms: Transform[] = [];
  for (const [at, step] of steps.entries()) transforms.push(await transformOf(step, at, limits));
  const covers = coverOf(channels);
  const run = async (message: Message): Promise<unknown> => {
    let { payload } = message;
    for (const transform of transforms) payload = await transform({ ...message, payload });
    return payload;
  };
  return {
    run,
    receive: async function pipeline(message, _context, next) {
      if (covers(message.channel)) (message as { payload: unknown }).payload = await run(message);
      return next();
    },
    publish: async function pipeline(outgoing, next) {
      if (covers(outgoing.channel)) outgoing.payload = await run(messageOf(outgoing));
      return next();
    },
  };
}

async function transformOf(
  step: PipelineStep,
  at: number,
  limits: ReturnType<typeof limitsOf>,
): Promise<Transform> {
  if (typeof step === "function") {
    return functionTransform((given, message) => {
      const payload = plainCopy(given, DEFAULT_LIMITS.maxDepth);
      return step(payload, { ...message, payload });
    }, limits);
  }
  if (typeof step === "object" && step !== null) {
    if ("jsonata" in step) return await expressionTransform("jsonata", step.jsonata, limits);
    if ("jmespath" in step) return await expressionTransform("jmespath", step.jmespath, limits);
    if ("template" in step) return templateTransform(step.template, limits);
  }
  const message = `steps[${at}] must be { jsonata }, { jmespath }, { template } or a function.`;
  throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: `steps[${at}]` } });
}

function coverOf(channels: string | readonly string[] | undefined): (channel: string) => boolean {
  if (channels === undefined) return (channel) => exemptPrefix(channel) === undefined;
  const trie = new PatternTrie<true>();
  for (const pattern of [channels].flat()) {
    checkPattern(pattern);
    trie.add(pattern, true);
  }
  return (channel) => trie.match(channel).length > 0;
}

/** As far as a message is known before it is one. */
function messageOf({ source, channel, payload, options }: OutgoingMessage): Message {
  const { id = "", dedupe: _dedupe, delayMs: _delayMs, priority = "normal", ...metadata } = options;
  return {
    id,
    timestamp: "",
    source,
    channel,
    payload,
    metadata: {
      retryCount: 0,
      contentType: "application/json",
      ...metadata,
      priority: priorityLevel(priority),
    },
  };
}
