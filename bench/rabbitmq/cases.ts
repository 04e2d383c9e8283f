import { RabbitBroker } from "../../src/brokers/rabbitmq/broker.ts";
import { startRabbit } from "../../test/support/servers/rabbitmq.ts";
import { brokerAlone, latency, wholePath } from "../engine.ts";
import type { Case } from "../memory/cases.ts";
import { byHand } from "./raw.ts";

const COUNT = 60_000;
const RAW = "by hand: confirmed publish, consume, ack";

async function alone(count: number): Promise<number> {
  await using rabbit = await startRabbit();
  return await brokerAlone(new RabbitBroker({ url: rabbit.url }), count);
}

async function whole(count: number): Promise<number> {
  await using rabbit = await startRabbit();
  return await wholePath(new RabbitBroker({ url: rabbit.url }), count);
}

async function delay(fraction: number): Promise<number> {
  await using rabbit = await startRabbit();
  return await latency(new RabbitBroker({ url: rabbit.url }), { fraction });
}

/** Herald over RabbitMQ beside the same client used by hand, each on a server of its own, over a quorum queue. */
export const RABBITMQ_CASES: readonly Case[] = [
  { name: RAW, unit: "messages/s", run: () => byHand(COUNT) },
  { name: "RabbitMQ broker", unit: "messages/s", against: RAW, run: () => alone(COUNT) },
  { name: "MessagingService over RabbitMQ", unit: "messages/s", against: RAW, run: () => whole(COUNT) },
  { name: "publish to handled at 1,000/s, p95", unit: "ms", run: () => delay(0.95) },
];
