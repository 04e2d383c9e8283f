import { describe, it } from "vitest";
import { whyNoHosts } from "./hosts.ts";
import { whyNone, type Technology } from "./technologies.ts";

/**
 * Declares tests that start, kill and pause servers of a technology. Where none can be had, the run says
 * `NOT RUN: <technology>: <why>` in its last lines, and with `CI` set that is a failure.
 */
export function whenStarted(technology: Technology, name: string, declare: () => void): void {
  whenFound(technology, whyNone(technology), () => describe(name, declare), name);
}

/** {@link whenStarted} for a cluster whose nodes have a host each. */
export function whenOnHosts(technology: Technology, name: string, declare: () => void): void {
  whenFound(technology, whyNone(technology) ?? whyNoHosts(), () => describe(name, declare), name);
}

/** Declares tests that need something of the machine. `why` it cannot be had: said as {@link whenStarted} does. */
export function whenFound(what: string, why: string | undefined, declare: () => void, name = what): void {
  if (why === undefined) {
    declare();
    return;
  }
  const line = `NOT RUN: ${what}: ${why} (${name})`;
  if (process.env["CI"] === undefined || process.env["CI"] === "false") it.skip(line, () => undefined);
  else
    it(line, () => {
      throw new Error(`${line}. With CI set, every broker must be tested.`);
    });
}

/** {@link whenStarted} for Redis. */
export function whenRedis(name: string, declare: () => void): void {
  whenStarted("redis", name, declare);
}
