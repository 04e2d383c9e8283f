import { NatsBroker } from "../../src/brokers/nats/broker.ts";
import { startNats, type NatsOptions } from "../../test/support/servers/nats.ts";
import { brokerAlone, latency, wholePath } from "../engine.ts";
import type { Case } from "../memory/cases.ts";
import { byHand } from "./raw.ts";

const COUNT = 100_000;
const DURABLE_COUNT = 5000;
const RAW = "by hand: publish, consume(), ack";
const RAW_DURABLE = `${RAW}, sync always`;

async function alone(server: NatsOptions, count: number): Promise<number> {
  await using nats = await startNats(server);
  return await brokerAlone(new NatsBroker({ url: nats.url }), count);
}

async function whole(count: number): Promise<number> {
  await using nats = await startNats();
  return await wholePath(new NatsBroker({ url: nats.url }), count);
}

async function delay(fraction: number): Promise<number> {
  await using nats = await startNats();
  return await latency(new NatsBroker({ url: nats.url }), { fraction });
}

/** Herald over JetStream beside the same client used by hand, each on a server of its own, set up alike. */
export const NATS_CASES: readonly Case[] = [
  { name: RAW, unit: "messages/s", run: () => byHand({}, COUNT) },
  { name: "NATS broker", unit: "messages/s", against: RAW, run: () => alone({}, COUNT) },
  { name: "MessagingService over NATS", unit: "messages/s", against: RAW, run: () => whole(COUNT) },
  { name: RAW_DURABLE, unit: "messages/s", run: () => byHand({ syncInterval: "always" }, DURABLE_COUNT) },
  {
    name: "NATS broker, sync always",
    unit: "messages/s",
    against: RAW_DURABLE,
    run: () => alone({ syncInterval: "always" }, DURABLE_COUNT),
  },
  { name: "publish to handled at 1,000/s, p95", unit: "ms", run: () => delay(0.95) },
];
