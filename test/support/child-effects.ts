import { appendFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import type { EffectCall } from "../../src/core/effect.ts";
import type { HandlerContext } from "../../src/core/middleware.ts";
import type { Stores } from "../../src/core/store.ts";
import { MessagingService } from "../../src/service/service.ts";
import { altered } from "./altered-stores.ts";
import type { ChildPlace } from "./child-stores.ts";

/** Where a till is killed: around its claim, around the call, when its result is recorded, and before it acknowledges. */
export const EFFECT_POINTS = [
  "claim.before",
  "claim.after",
  "call.before",
  "call.after",
  "record.after",
  "handled",
] as const;

/** One of {@link EFFECT_POINTS}; `slow`: it gets the result of its call a second later. */
export type EffectPoint = (typeof EFFECT_POINTS)[number] | "slow";

/** What a till is told. */
export interface TillOrder {
  readonly place: ChildPlace;
  /** The world outside: who was called, and what it did, once for each idempotency key. */
  readonly outside: string;
  readonly point: EffectPoint;
}

export const EFFECT_LEASE_MS = 400;

/** A broker over a place, not open. */
export function brokerAt(place: ChildPlace): Broker & { createStores(): Stores } {
  return "directory" in place
    ? new FileBroker(place)
    : new RedisBroker({ ...place, leaseMs: 500, sweepMs: 100 });
}

/** Pays outside: an effect once for each key, and a line for each call. */
export function pay(outside: string, { idempotencyKey, attempt }: EffectCall): { receipt: string } {
  appendFileSync(path.join(outside, "calls.log"), `${attempt} ${idempotencyKey}\n`);
  try {
    writeFileSync(path.join(outside, idempotencyKey), "paid", { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  return { receipt: idempotencyKey };
}

/** Stores of a process that dies around the first write of a text. */
function deadly(stores: Stores, die: (point: EffectPoint) => void): Stores {
  return altered(stores, {
    values: {
      async put(space, key, value, ifToken) {
        const isClaim = value.includes('"running"');
        if (isClaim) die("claim.before");
        const token = await stores.values.put(space, key, value, ifToken);
        if (isClaim) die("claim.after");
        if (value.includes('"done"')) die("record.after");
        return token;
      },
    },
  });
}

async function main({ place, outside, point }: TillOrder): Promise<void> {
  const die = (at: EffectPoint): void => {
    if (at === point) process.kill(process.pid, "SIGKILL");
  };
  const broker = brokerAt(place);
  const stores = { name: "deadly", createStores: () => deadly(broker.createStores(), die) };
  const service = new MessagingService({
    agentId: "till",
    broker,
    effects: { stores, leaseMs: EFFECT_LEASE_MS },
  });
  await service.start();
  await service.subscribe("orders", async (message, context: HandlerContext) => {
    const result = await context.effect("pay", message.id, async (call) => {
      die("call.before");
      const paid = pay(outside, call);
      die("call.after");
      if (point === "slow") await new Promise((resolve) => setTimeout(resolve, 1000));
      return paid;
    });
    process.stdout.write(`${JSON.stringify(result)}\n`);
    die("handled");
    if (point === "slow") setImmediate(() => void service.stop());
  });
}

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] as string) as TillOrder);
