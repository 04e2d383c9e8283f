import { connect } from "amqplib";
import { startRabbit } from "../../test/support/servers/rabbitmq.ts";
import { PAYLOAD } from "../memory/service.ts";

/** Published and not yet confirmed at most; the prefetch as well. */
const WINDOW = 1000;
const EXCHANGE = "bench";
const QUEUE = "bench/g";
const BODY = Buffer.from(JSON.stringify(PAYLOAD));

/** What one would write by hand: confirmed publishes under way together, one consumer, one ack a message, JSON parsed; messages a second. */
export async function byHand(count: number): Promise<number> {
  await using rabbit = await startRabbit();
  const [writing, reading] = [await connect(rabbit.url), await connect(rabbit.url)];
  const publisher = await writing.createConfirmChannel();
  const consumer = await reading.createChannel();
  await publisher.assertExchange(EXCHANGE, "topic", { durable: true });
  await publisher.assertQueue(QUEUE, { durable: true, arguments: { "x-queue-type": "quorum" } });
  await publisher.bindQueue(QUEUE, EXCHANGE, "bench");
  await consumer.prefetch(WINDOW);
  const { promise, resolve } = Promise.withResolvers<void>();
  let got = 0;
  const startedAt = performance.now();
  await consumer.consume(QUEUE, (message) => {
    if (message === null) return;
    JSON.parse(message.content.toString("utf8"));
    consumer.ack(message);
    if (++got === count) resolve();
  });
  for (let sent = 0; sent < count; sent += WINDOW) {
    for (let n = 0; n < WINDOW; n++)
      publisher.publish(EXCHANGE, "bench", BODY, { persistent: true, headers: headersOf(sent + n) });
    await publisher.waitForConfirms();
  }
  await promise;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  await Promise.all([writing.close(), reading.close()]);
  return rate;
}

/** The same attributes as Herald writes: a CloudEvent in binary mode. */
function headersOf(n: number) {
  return {
    cloudEvents_specversion: "1.0",
    cloudEvents_id: `0190b8a0-0000-7000-8000-${String(n).padStart(12, "0")}`,
    cloudEvents_source: "bench",
    cloudEvents_type: "herald.message",
    cloudEvents_time: new Date().toISOString(),
  };
}
