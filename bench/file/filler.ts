import { FileBroker } from "../../src/brokers/file/broker.ts";
import { makeEnvelope } from "./store.ts";

/** Fills a store with a backlog for the group `g`. */
const [directory = "", count = "0"] = process.argv.slice(2);
const broker = new FileBroker({ directory });
await broker.open();
await (await broker.subscribe({ pattern: "bench.messages", group: "g", prefetch: 1 })).close();
for (let sent = 0; sent < Number(count); sent += 10_000)
  await broker.publish(Array.from({ length: 10_000 }, makeEnvelope));
await broker.close();
