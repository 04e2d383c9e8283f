import { setTimeout as sleep } from "node:timers/promises";
import type { Asked, Model, Role } from "./model.ts";

/** How the scripted model behaves. All optional. */
export interface Script {
  /** True: no draft is ever good enough. */
  readonly isStubborn?: boolean;
}

/** What each of them would say. */
const LINES: Readonly<Record<Role, (asked: Asked) => string>> = {
  planner: () => "where they live\nwhat they eat\nwhy they hold hands",
  researcher: ({ material }) => `Found about ${material}: three sources agree.`,
  writer: ({ material }) =>
    `Otters, in ${material.split("\n").length} lines${material.includes("REVISE") ? ", with sources" : ""}.`,
  reviewer: ({ material }) =>
    material.includes("with sources") ? "APPROVED" : "REVISE: say where this comes from",
};

/** What it is asked about and fails at, the first time it hears of it. */
const OVERLOADED_AT = "what they eat";

/** A model that needs no key and no network: it answers by the book, after a while, counts tokens, and fails once. */
export function scriptedModel({ isStubborn = false }: Script = {}): Model {
  const failed = new Set<string>();
  return async (asked) => {
    const { role, task, material, signal } = asked;
    await sleep(20 + (material.length % 5) * 10, undefined, { signal });
    if (material === OVERLOADED_AT && !failed.has(material)) {
      failed.add(material);
      throw new Error("the model is overloaded (429)");
    }
    const text = isStubborn && role === "reviewer" ? "REVISE: not yet" : LINES[role](asked);
    return { text, tokens: Math.ceil((task.length + material.length + text.length) / 4) };
  };
}
