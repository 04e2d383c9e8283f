import { FileBroker } from "../../src/brokers/file/broker.ts";
import { KafkaBroker } from "../../src/brokers/kafka/broker.ts";
import { RedisBroker } from "../../src/brokers/redis/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import type { DeliveryGuarantee } from "../../src/service/options.ts";
import { startKafka } from "../../test/support/servers/kafka.ts";
import { startRedis } from "../../test/support/servers/redis.ts";
import { inFolder } from "../file/store.ts";
import type { Case } from "../memory/cases.ts";
import { PAYLOAD, startService } from "../memory/service.ts";

const COUNT = 50_000;
const BATCH = 1000;
const IN_WORK = 100;

/** How messages are handled, each with an output. */
interface Way {
  readonly guarantee: DeliveryGuarantee;
  readonly tx: boolean;
}

const AT_LEAST_ONCE = "at least once";
const WAYS: Readonly<Record<string, Way>> = {
  [AT_LEAST_ONCE]: { guarantee: "at-least-once", tx: false },
  "exactly once": { guarantee: "exactly-once", tx: false },
  "exactly once, in context.tx": { guarantee: "exactly-once", tx: true },
};

/** What waits is handled, a hundred at a time, each with an output; messages a second. */
async function handled(broker: Broker, { guarantee, tx }: Way): Promise<number> {
  await using service = await startService({ broker });
  await service.broker.ensureGroup("bench.in", "bench");
  for (let sent = 0; sent < COUNT; sent += BATCH)
    await service.publishBatch(
      Array.from({ length: BATCH }, () => ({ channel: "bench.in", payload: PAYLOAD })),
    );
  const startedAt = performance.now();
  await service.subscribe(
    "bench.in",
    async ({ payload }, context) => {
      if (tx) void context.tx;
      await service.publish("bench.out", payload);
    },
    { guarantee, maxConcurrency: IN_WORK, prefetch: 4 * IN_WORK },
  );
  while (service.getMetrics().handled < COUNT) await new Promise((resolve) => setTimeout(resolve, 5));
  return (COUNT / (performance.now() - startedAt)) * 1000;
}

const ON: Readonly<Record<string, (way: Way) => Promise<number>>> = {
  file: (way) => inFolder((directory) => handled(new FileBroker({ directory }), way)),
  Redis: async (way) => {
    await using redis = await startRedis();
    return await handled(new RedisBroker({ url: redis.url }), way);
  },
  Kafka: async (way) => {
    await using kafka = await startKafka();
    return await handled(new KafkaBroker({ url: kafka.url }), way);
  },
};

/** What exactly-once costs: the same handler, which publishes one message, under each guarantee. */
export const EXACTLY_ONCE_CASES: readonly Case[] = Object.entries(ON).flatMap(([name, run]) =>
  Object.entries(WAYS).map(([way, how]): Case => {
    const against = way === AT_LEAST_ONCE ? {} : { against: `${name}: ${AT_LEAST_ONCE}` };
    return { name: `${name}: ${way}`, unit: "messages/s", ...against, run: () => run(how) };
  }),
);
