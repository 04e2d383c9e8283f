import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, headers } from "@nats-io/transport-node";
import { startNats, type NatsOptions } from "../../test/support/servers/nats.ts";
import { PAYLOAD } from "../memory/service.ts";

/** Published and not yet confirmed at most. */
const WINDOW = 1000;
const STREAM = "bench";
const BODY = JSON.stringify(PAYLOAD);

/** What one would write by hand: publishes under way together, consume(), one ack a message, JSON parsed; messages a second. */
export async function byHand(server: NatsOptions, count: number): Promise<number> {
  await using nats = await startNats(server);
  const connection = await connect({ servers: `127.0.0.1:${nats.port}` });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: STREAM, subjects: [`${STREAM}.>`] });
  await manager.consumers.add(STREAM, {
    durable_name: "g",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: -1,
  });
  const client = jetstream(connection);
  const consumer = await client.consumers.get(STREAM, "g");
  const startedAt = performance.now();
  const reading = (async () => {
    let got = 0;
    const messages = await consumer.consume({ max_messages: WINDOW });
    for await (const message of messages) {
      JSON.parse(message.string());
      message.ack();
      if (++got === count) messages.stop();
    }
  })();
  for (let sent = 0; sent < count; sent += WINDOW) {
    const burst: Promise<unknown>[] = [];
    for (let n = 0; n < WINDOW; n++)
      burst.push(client.publish(`${STREAM}.messages`, BODY, { headers: head(sent + n) }));
    await Promise.all(burst);
  }
  await reading;
  await connection.flush();
  const rate = (count / (performance.now() - startedAt)) * 1000;
  await connection.close();
  return rate;
}

/** The same attributes as Herald writes: a CloudEvent in binary mode. */
function head(n: number) {
  const made = headers();
  made.set("ce-specversion", "1.0");
  made.set("ce-id", `0190b8a0-0000-7000-8000-${String(n).padStart(12, "0")}`);
  made.set("ce-source", "bench");
  made.set("ce-type", "herald.message");
  made.set("ce-time", new Date().toISOString());
  made.set("content-type", "application/json");
  return made;
}
