import type { Broker } from "../src/core/broker.ts";
import { createEnvelope } from "../src/core/envelope.ts";
import { Arrivals, PAYLOAD, quantile, startService } from "./memory/service.ts";

// What is measured alike over every engine. Servers belong to their case: it ends them.

const WINDOW = 1000;
const BODY = Buffer.from(JSON.stringify(PAYLOAD));

/** Broker alone, not open yet: batches published, received, read, acknowledged; messages a second. */
export async function brokerAlone(broker: Broker, count: number): Promise<number> {
  await broker.open();
  const subscription = await broker.subscribe({ pattern: "bench", group: "g", prefetch: WINDOW });
  const startedAt = performance.now();
  const reading = (async () => {
    const settling: Promise<void>[] = [];
    for (let got = 0; got < count;) {
      const deliveries = await subscription.receive(500, 10_000);
      for (const { envelope } of deliveries) JSON.parse(Buffer.from(envelope.body).toString("utf8"));
      got += deliveries.length;
      settling.push(subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery }))));
    }
    await Promise.all(settling);
  })();
  for (let sent = 0; sent < count; sent += WINDOW) {
    const batch = Array.from({ length: WINDOW }, (_none, n) =>
      createEnvelope({
        id: `0190b8a0-0000-7000-8000-${String(sent + n).padStart(12, "0")}`,
        channel: "bench",
        source: "bench",
        time: Date.now(),
        body: BODY,
      }),
    );
    await broker.publish(batch);
  }
  await reading;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  await broker.close();
  return rate;
}

/**
 * The whole path through MessagingService, at-least-once, retry and dead letters armed; messages a second. Published as the loops
 * by hand do it: a thousand, their answers, the next thousand, however far the reader is.
 */
export async function wholePath(broker: Broker, count: number): Promise<number> {
  await using service = await startService({ broker });
  const arrivals = new Arrivals();
  await service.subscribe("bench.messages", async () => arrivals.arrived(), { prefetch: WINDOW });
  const startedAt = performance.now();
  for (let sent = 0; sent < count; sent += WINDOW)
    await Promise.all(Array.from({ length: WINDOW }, () => service.publish("bench.messages", PAYLOAD)));
  await arrivals.reached(count);
  return (count / (performance.now() - startedAt)) * 1000;
}

/** Calls at a steady rate a second. */
export async function steadily(
  count: number,
  perSecond: number,
  call: (n: number) => Promise<unknown>,
): Promise<void> {
  const startedAt = performance.now();
  const calls: Promise<unknown>[] = [];
  while (calls.length < count) {
    const due = Math.min(count, Math.floor(((performance.now() - startedAt) * perSecond) / 1000));
    while (calls.length < due) calls.push(call(calls.length));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(calls);
}

/** Publish to handled at a steady rate for five seconds, milliseconds; the first ones, which compile, do not count. */
export async function latency(
  broker: Broker,
  {
    fraction,
    perSecond = 1000,
    skipped = 500,
  }: { readonly fraction: number; readonly perSecond?: number; readonly skipped?: number },
): Promise<number> {
  await using service = await startService({ broker });
  const samples: number[] = [];
  await service.subscribe<{ at: number }>("bench.messages", async ({ payload }) => {
    samples.push(performance.now() - payload.at);
  });
  const publish = () => service.publish("bench.messages", { ...PAYLOAD, at: performance.now() });
  await steadily(perSecond * 5, perSecond, publish);
  return quantile(samples.slice(skipped), fraction);
}
