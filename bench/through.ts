import type { Broker } from "../src/core/broker.ts";
import { createEnvelope, type Envelope } from "../src/core/envelope.ts";
import { PAYLOAD } from "./memory/service.ts";

/** How many envelopes one call of a broker gets. */
export const BATCH = 500;

const COUNT = 300_000;
const KEYS = 100;
const BODY = Buffer.from(JSON.stringify(PAYLOAD));

/** Envelopes with ids of their own; those of a named series have one of a hundred partition keys. */
export function envelopes(from: number, count: number, series = "", channel = "bench"): Envelope[] {
  return Array.from({ length: count }, (_none, n) =>
    createEnvelope({
      id: `bench${series}-${from + n}`,
      channel,
      source: "bench",
      time: Date.now(),
      key: series === "" ? undefined : `k${(from + n) % KEYS}`,
      body: BODY,
    }),
  );
}

/** Messages a second through a broker that is open: published in batches, received, acknowledged. */
export async function through(
  broker: Broker,
  {
    pattern = "bench",
    channels = ["bench"],
  }: { readonly pattern?: string; readonly channels?: readonly string[] } = {},
): Promise<number> {
  const subscription = await broker.subscribe({ pattern, group: "g", prefetch: 1000 });
  const startedAt = performance.now();
  const reading = (async () => {
    for (let got = 0; got < COUNT;) {
      const deliveries = await subscription.receive(BATCH, 10_000);
      got += deliveries.length;
      void subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery })));
    }
  })();
  for (let sent = 0; sent < COUNT; sent += BATCH) {
    const share = BATCH / channels.length;
    await broker.publish(channels.flatMap((channel, at) => envelopes(sent + at * share, share, "", channel)));
  }
  await reading;
  return (COUNT / (performance.now() - startedAt)) * 1000;
}
