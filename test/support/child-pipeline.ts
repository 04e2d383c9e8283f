import type { HandlerContext } from "../../src/core/middleware.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { Address } from "../../src/testing/conformance/harness.ts";
import { brokerAt } from "./child-effects.ts";
import { kafkaAt } from "./child-kafka.ts";
import type { ChildPlace } from "./child-stores.ts";

/** One message on its way through the hops. */
export interface Travelling {
  readonly n: number;
  readonly value: number;
}

/** From where to where, and what happens to the value. */
export const HOPS = [
  { from: "in", to: "first", change: (value: number) => value + 1 },
  { from: "first", to: "second", change: (value: number) => value * 2 },
  { from: "second", to: "out", change: (value: number) => value - 3 },
] as const;

/** A namespace on a Kafka. */
export interface KafkaPlace {
  readonly kafka: Address;
  readonly namespace: string;
}

/** What a child of the pipeline is told. */
export interface PipelineOrder {
  readonly place: ChildPlace | KafkaPlace;
  /** On Kafka: it dies when so many of its writes were answered; what they belong to is not over then. */
  readonly diesAfter?: number;
}

/** Counts, in the transaction of a hop, how often it took effect for a message. */
async function count({ tx }: HandlerContext, key: string): Promise<void> {
  const known = Number((await tx.values.get("effects", key))?.value ?? 0);
  await tx.values.put("effects", key, String(known + 1));
}

const PRODUCE = 0;

/** Dies when this many of its requests to write were answered. */
async function dyingAfter(writes: number): Promise<void> {
  const { Connection } = await import("@platformatic/kafka");
  const sending = Connection.prototype as unknown as {
    send(apiKey: number, ...rest: [...unknown[], (...answer: unknown[]) => void]): void;
  };
  const { send } = sending;
  let count = 0;
  sending.send = function (apiKey, ...rest) {
    const answer = rest.pop() as (...answer: unknown[]) => void;
    send.call(this, apiKey, ...(rest as unknown[]), (...answered: unknown[]) => {
      if (apiKey === PRODUCE && ++count === writes) process.kill(process.pid, "SIGKILL");
      answer(...answered);
    });
  };
}

async function main({ place, diesAfter }: PipelineOrder): Promise<void> {
  if (diesAfter !== undefined) await dyingAfter(diesAfter);
  const isKafka = "kafka" in place;
  const service = new MessagingService({
    agentId: "hops",
    broker: isKafka ? kafkaAt(place.namespace, place.kafka) : brokerAt(place),
    defaultDeliveryGuarantee: "exactly-once",
    // Every kill is an attempt of what was running then.
    retry: { maxAttempts: 1000, backoff: { initialDelayMs: 1, maxDelayMs: 10 } },
  });
  await service.start();
  for (const { from, to, change } of HOPS)
    await service.subscribe<Travelling>(from, async ({ payload: { n, value } }, context) => {
      // On Kafka what is published is all that its transaction is about.
      if (isKafka) void context.tx;
      else await count(context, `${from} ${n}`);
      await service.publish(to, { n, value: change(value) });
    });
  process.stdout.write("ready\n");
}

if (process.argv[1] === import.meta.filename)
  await main(JSON.parse(process.argv[2] as string) as PipelineOrder);
