export { MiddlewareChain, type MessageMiddleware } from "../routing/chain.ts";
export type { DefaultRoute, RoutingRule } from "../routing/rules/rule.ts";
export type { Verdict } from "../routing/rules/rule-table.ts";
export type { Transform, TransformFunction, TransformLimits } from "../routing/transform/transform.ts";
export { MessageRouter, type RouteOptions } from "./message-router.ts";
export {
  createRouting,
  loadRouting,
  type ExplainedCopy,
  type Explanation,
  type Routing,
  type RoutingOptions,
} from "./routes/routing.ts";
export { createPipeline, type Pipeline, type PipelineOptions, type PipelineStep } from "./routes/pipeline.ts";
export type { OutgoingMessage, PublishMiddleware } from "./publish-chain.ts";
