import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { ChildProcess } from "node:child_process";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect } from "vitest";
import type { Handler } from "../../src/core/middleware.ts";
import { MessagingService } from "../../src/service/service.ts";
import { brokerAt, EFFECT_LEASE_MS, pay, type EffectPoint } from "./child-effects.ts";
import type { ChildPlace } from "./child-stores.ts";
import { runChild } from "./killed.ts";

const ID = "order-1";

/** Calls of the world outside, each with its number, and what they did. */
interface Outside {
  readonly folder: string;
  readonly calls: readonly string[];
  readonly effects: readonly string[];
}

function looked(folder: string): Outside {
  const names = readdirSync(folder);
  const log = names.includes("calls.log") ? readFileSync(path.join(folder, "calls.log"), "utf8") : "";
  return {
    folder,
    calls: log.split("\n").slice(0, -1),
    effects: names.filter((name) => name !== "calls.log"),
  };
}

/** The numbers of the calls that reach the world outside when a till is killed there and another goes on. */
const CALLS: Record<EffectPoint, readonly string[]> = {
  "claim.before": ["1"],
  "claim.after": ["2"],
  "call.before": ["2"],
  // The only place where the world is called twice: with one idempotency key, so that it takes effect once.
  "call.after": ["1", "2"],
  "record.after": ["1"],
  handled: ["1"],
  slow: ["1"],
};

/** A place with one order in it, and the till of this process, which goes on with it. */
async function shop(place: ChildPlace) {
  const outside = mkdtempSync(path.join(tmpdir(), "herald-outside-"));
  const broker = brokerAt(place);
  const options = { broker, effects: { leaseMs: EFFECT_LEASE_MS } };
  const office = new MessagingService({ agentId: "office", broker });
  const till = new MessagingService({ agentId: "till", ...options });
  await office.start();
  await office.broker.ensureGroup("orders", "till");
  await office.publish("orders", { amount: 7 }, { id: ID });
  const results: unknown[] = [];
  return {
    outside,
    results,
    async goOn(group = "till"): Promise<void> {
      await till.start();
      const handler: Handler = async (message, context) =>
        void results.push(await context.effect("pay", message.id, (call) => pay(outside, call)));
      await till.subscribe("orders", handler, { group, from: "earliest" });
    },
    async settled(): Promise<void> {
      const query = { channel: "orders", group: "till" };
      await expect.poll(() => office.getConsumerLag(query), { interval: 5 }).toMatchObject([{ lag: 0 }]);
    },
    async close(): Promise<void> {
      await till.stop();
      await office.stop();
      rmSync(outside, { recursive: true, force: true });
    },
  };
}

/** Kills a till at a point, lets this process go on, and looks what the world outside has seen. */
export async function killAndPay(place: ChildPlace, point: EffectPoint): Promise<void> {
  const { outside, results, goOn, settled, close } = await shop(place);
  try {
    const killed = await runChild({ place, outside, point }, undefined, { program: "child-effects.ts" });
    expect(killed).toMatchObject({ signal: "SIGKILL", stderr: "" });
    await goOn();
    await settled();

    const { calls, effects } = looked(outside);
    expect(effects).toHaveLength(1);
    expect(calls).toEqual(CALLS[point].map((number) => `${number} ${effects[0]}`));
    expect(results).toEqual([{ receipt: effects[0] }]);
  } finally {
    await close();
  }
}

/**
 * Two processes are at one call: the second gets the result of the first, and calls nobody. With `isStopped` the first sleeps
 * longer than its lease: then the second calls with the same key, and the first, awake, gets what the second got.
 */
export async function payTogether(place: ChildPlace, isStopped: boolean): Promise<void> {
  const { outside, results, goOn, close } = await shop(place);
  try {
    let process: ChildProcess | undefined;
    const onStart = (child: ChildProcess): void => void (process = child);
    const other = runChild({ place, outside, point: "slow" }, undefined, {
      program: "child-effects.ts",
      onStart,
    });
    await expect.poll(() => looked(outside).calls, { interval: 5 }).toHaveLength(1);
    if (isStopped) process?.kill("SIGSTOP");
    await goOn("another");
    await expect.poll(() => results, { interval: 5 }).toHaveLength(1);
    process?.kill("SIGCONT");
    const { lines } = await other;

    const { calls, effects } = looked(outside);
    expect(calls).toEqual((isStopped ? ["1", "2"] : ["1"]).map((number) => `${number} ${effects[0]}`));
    const receipt = { receipt: effects[0] };
    expect(results).toEqual([receipt]);
    // The lease of a message that slept may be over too: then its handler is asked a second time, and gets the same.
    const others = lines.map((line) => JSON.parse(line) as unknown);
    expect([others[0], ...others]).toEqual([receipt, ...others.map(() => receipt)]);
  } finally {
    await close();
  }
}
