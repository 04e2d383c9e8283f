import { Consumer, Producer, type MessagesStream } from "@platformatic/kafka";
import { startKafka } from "../../test/support/servers/kafka.ts";
import { PAYLOAD } from "../memory/service.ts";

/** Records of one send, which is one request and one answer. */
const WINDOW = 1000;
const TOPIC = "bench";
const BODY = Buffer.from(JSON.stringify(PAYLOAD));

/**
 * What one would write by hand over the same package: an idempotent producer that sends a thousand at a time and waits for all
 * replicas, a consumer that commits once for each thousand it has parsed; messages a second.
 */
export async function byHand(count: number): Promise<number> {
  await using kafka = await startKafka({
    config: { "auto.create.topics.enable": "true", "num.partitions": "1" },
  });
  const bootstrapBrokers = [`${kafka.address.host}:${kafka.address.port}`];
  const producer = new Producer({ clientId: "raw", bootstrapBrokers, autocreateTopics: true });
  await producer.send({ messages: [record(0)], idempotent: true, acks: -1 });
  const consumer = new Consumer({ clientId: "raw", groupId: "g", bootstrapBrokers });
  const stream = await consumer.consume({
    topics: [TOPIC],
    mode: "earliest",
    autocommit: false,
    maxWaitTime: 250,
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  const startedAt = performance.now();
  const reading = readAll(consumer, stream, count);
  for (let sent = 0; sent < count; sent += WINDOW) {
    const messages = Array.from({ length: WINDOW }, (_none, n) => record(sent + n));
    await producer.send({ messages, idempotent: true, acks: -1 });
  }
  await reading;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  await stream.close();
  await consumer.close(true);
  await producer.close();
  return rate;
}

/** The same attributes as Herald writes: a CloudEvent in binary mode. */
function record(n: number) {
  const attributes = {
    ce_specversion: "1.0",
    ce_id: `0190b8a0-0000-7000-8000-${String(n).padStart(12, "0")}`,
    ce_source: "bench",
    ce_type: "herald.message",
    ce_time: new Date().toISOString(),
    "content-type": "application/json",
  };
  const headers = new Map(
    Object.entries(attributes).map(([name, value]) => [Buffer.from(name), Buffer.from(value)]),
  );
  return { topic: TOPIC, value: BODY, headers };
}

async function readAll(
  consumer: Consumer,
  stream: MessagesStream<Buffer, Buffer, Buffer, Buffer>,
  count: number,
): Promise<void> {
  const commits: Promise<unknown>[] = [];
  let got = 0;
  for await (const { value, partition, offset } of stream) {
    JSON.parse(value.toString("utf8"));
    if (++got % WINDOW === 0)
      commits.push(
        Promise.resolve(
          consumer.commit({ offsets: [{ topic: TOPIC, partition, offset: offset + 1n, leaderEpoch: -1 }] }),
        ),
      );
    if (got >= count) break;
  }
  await Promise.all(commits);
}
