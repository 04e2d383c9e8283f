import path from "node:path";
import { hybrid, type HybridBroker, type HybridRoutes } from "../../src/brokers/hybrid/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { ChildModule } from "../../src/testing/conformance/harness.ts";
import { fileAt } from "./child-file.ts";

const asked = new URL(import.meta.url).searchParams;

/** The hybrid broker in another process; the query of this module's URL says below which folder the places lie. */
export const createBroker: ChildModule["createBroker"] = (place) =>
  hybridFilesAt(path.join(asked.get("root") as string, place));

export const createService: ChildModule["createService"] = (options) => new MessagingService(options);

/**
 * Routes to three brokers, divided so that the suite's channels, `<case>.<run>.<suffix>`, lie on all of them, that its patterns
 * span them, and that effects, requests, replies and commands cross from one to another.
 */
export function divided(first: Broker, second: Broker, third: Broker): HybridRoutes {
  return {
    "#": first,
    "*-*.*.n1*": second,
    "*-*.*.*.a.#": second,
    "*-*.*.*.agent-*.#": third,
    "run.effects": third,
    "reply.#": second,
    "agent.#": third,
  };
}

/** Three file brokers as one. */
export function hybridFilesAt(folder: string): HybridBroker {
  const [first, second, third] = ["first", "second", "third"].map((name) => fileAt(path.join(folder, name)));
  return hybrid(divided(first as Broker, second as Broker, third as Broker));
}
