import { createClient } from "@redis/client";
import { startRedis, type RedisOptions } from "../../test/support/servers/redis.ts";
import { PAYLOAD } from "../memory/service.ts";

/** Published and not yet confirmed at most. */
const WINDOW = 1000;
const READ = 500;
const STREAM = "bench";
const BODY = JSON.stringify(PAYLOAD);

type Reply = readonly [string, readonly (readonly [string, readonly string[]])[]][] | null;

/** What one would write by hand: pipelined XADD, XREADGROUP of up to 500, one XACK a read, JSON parsed; messages a second. */
export async function byHand(server: RedisOptions, count: number): Promise<number> {
  await using redis = await startRedis(server);
  const client = createClient({ url: redis.url, RESP: 2 });
  client.on("error", () => undefined);
  await client.connect();
  await client.sendCommand(["XGROUP", "CREATE", STREAM, "g", "0", "MKSTREAM"]);
  const startedAt = performance.now();
  const reading = readAll(client, count);
  for (let sent = 0; sent < count; sent += WINDOW) {
    const burst: Promise<unknown>[] = [];
    for (let n = 0; n < WINDOW; n++) burst.push(client.sendCommand(entry(sent + n)));
    await Promise.all(burst);
  }
  await reading;
  const rate = (count / (performance.now() - startedAt)) * 1000;
  await client.close();
  return rate;
}

/** The same attributes as Herald writes: a CloudEvent in binary mode. */
function entry(n: number): string[] {
  const attributes = ["specversion", "1.0", "id", `0190b8a0-0000-7000-8000-${String(n).padStart(12, "0")}`];
  attributes.push("source", "bench", "type", "herald.message", "time", new Date().toISOString());
  return ["XADD", STREAM, "*", ...attributes, "datacontenttype", "application/json", "data", BODY];
}

async function readAll(
  client: { sendCommand<T>(args: readonly string[]): Promise<T> },
  count: number,
): Promise<void> {
  const read = ["XREADGROUP", "GROUP", "g", "c", "COUNT", String(READ), "STREAMS", STREAM, ">"];
  const acks: Promise<unknown>[] = [];
  for (let got = 0; got < count;) {
    const entries = (await client.sendCommand<Reply>(read))?.[0]?.[1];
    if (entries === undefined) continue;
    for (const [, fields] of entries) JSON.parse(fields.at(-1) ?? "");
    got += entries.length;
    acks.push(client.sendCommand(["XACK", STREAM, "g", ...entries.map(([id]) => id)]));
  }
  await Promise.all(acks);
}
