import { expect } from "vitest";
import type { Broker } from "../../src/core/broker.ts";
import { envelope } from "./envelopes.ts";
import { until } from "./taking.ts";

/**
 * Publishes on `c`, one message after the other, while the server is killed and started again. Gives the ids that were stored;
 * every other message was refused, or its answer says that nobody knows.
 */
export async function publishThroughKill(
  broker: Broker,
  server: { kill(): Promise<void>; start(): Promise<void> },
): Promise<readonly string[]> {
  const stored: string[] = [];
  const codes = new Set<string>();
  const writing = { isOver: false, n: 0 };
  const write = async () => {
    while (!writing.isOver) {
      const id = `m${writing.n++}`;
      const [result] = await broker.publish([envelope({ time: Date.now(), channel: "c", id })]);
      if (result?.ok === true) stored.push(id);
      else {
        codes.add(result?.error.code ?? "");
        // A server that starts needs the processor too.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  };
  const written = write();
  await until(() => stored.length > 50);
  await server.kill();
  await until(() => codes.has("NOT_CONNECTED"));
  const before = stored.length;
  await server.start();
  await until(() => stored.length > before + 10);
  writing.isOver = true;
  await written;
  // One that was under way may be stored or not, and that is what its code says.
  expect([...codes].filter((code) => !["NOT_CONNECTED", "PUBLISH_UNKNOWN"].includes(code))).toEqual([]);
  return stored;
}
