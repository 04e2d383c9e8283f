import { FileBroker } from "../../src/brokers/file/broker.ts";
import { createEnvelope } from "../../src/core/envelope.ts";
import { createId } from "../../src/core/ids.ts";

/** Another process: publishes at a steady rate, each body the moment it was handed over, epoch milliseconds. */
const [directory = "", count = "0", perSecond = "100"] = process.argv.slice(2);
const broker = new FileBroker({ directory });
await broker.open();
const text = new TextEncoder();
for (let sent = 0, startedAt = performance.now(); sent < Number(count); sent++) {
  const dueAt = startedAt + (sent * 1000) / Number(perSecond);
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueAt - performance.now())));
  const body = text.encode(String(performance.timeOrigin + performance.now()));
  await broker.publish([
    createEnvelope({ id: createId(), channel: "bench.wake", source: "bench", time: Date.now(), body }),
  ]);
}
await broker.close();
