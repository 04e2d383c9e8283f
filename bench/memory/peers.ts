import { EventEmitter } from "node:events";
import { createRequire } from "node:module";
import { rawBullMQ } from "../bullmq/raw.ts";
import { type Case } from "./cases.ts";
import { Arrivals, PAYLOAD, pump } from "./service.ts";

const require = createRequire(new URL("../peers/package.json", import.meta.url));
const HERALD = "whole path, at-least-once";

/** The same number of messages through Node's own emitter: no isolation, no promise, no guarantee. */
async function eventEmitter(): Promise<number> {
  const emitter = new EventEmitter();
  const handle = async (): Promise<void> => arrivals.arrived();
  const arrivals = new Arrivals();
  emitter.on("bench.messages", () => void handle());
  return await pump(1_000_000, arrivals, async () => emitter.emit("bench.messages", PAYLOAD));
}

async function emittery(): Promise<number> {
  const { default: Emittery } = (await import(require.resolve("emittery"))) as {
    default: new () => EmitteryLike;
  };
  const emitter = new Emittery();
  const arrivals = new Arrivals();
  emitter.on("bench.messages", async () => arrivals.arrived());
  return await pump(500_000, arrivals, () => emitter.emit("bench.messages", PAYLOAD));
}

interface EmitteryLike {
  on(name: string, listener: () => Promise<void>): unknown;
  emit(name: string, data: unknown): Promise<void>;
}

async function moleculer(): Promise<number> {
  const { ServiceBroker } = require("moleculer") as { ServiceBroker: new (options: object) => MoleculerLike };
  const broker = new ServiceBroker({ logger: false });
  const arrivals = new Arrivals();
  broker.createService({ name: "bench", events: { "bench.messages": async () => arrivals.arrived() } });
  await broker.start();
  const rate = await pump(500_000, arrivals, () => broker.emit("bench.messages", PAYLOAD));
  await broker.stop();
  return rate;
}

interface MoleculerLike {
  createService(schema: object): unknown;
  start(): Promise<void>;
  stop(): Promise<void>;
  emit(name: string, payload: unknown): Promise<void>;
}

/** What Herald is set beside, doing the same work in the same run. */
export const PEERS: readonly Case[] = [
  { name: "node:events EventEmitter", unit: "messages/s", against: HERALD, run: eventEmitter },
  { name: "emittery", unit: "messages/s", against: HERALD, run: emittery },
  { name: "Moleculer local emit", unit: "messages/s", against: HERALD, run: moleculer },
  {
    name: "BullMQ addBulk and process (Redis)",
    unit: "messages/s",
    against: HERALD,
    run: () => rawBullMQ({ appendonly: false }),
  },
];
