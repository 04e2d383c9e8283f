import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import type { Broker } from "../core/broker.ts";
import { EventStore } from "../patterns/events/event-store.ts";
import { MessagingService } from "./service.ts";

async function started(agentId: string, broker: Broker | string): Promise<MessagingService> {
  const service = new MessagingService({ agentId, broker });
  await service.start();
  return service;
}

describe("the stores of a service", () => {
  it("are those of its broker, the same for every service over it", async () => {
    const broker = new MemoryBroker();
    await using one = await started("one", broker);
    await using two = await started("two", broker);
    await using other = await started("other", new MemoryBroker());
    await new EventStore(one).append("a", { type: "Said" });

    expect(await new EventStore(two).version("a")).toBe(1);
    expect(await new EventStore(other).version("a")).toBe(0);
  });

  it("outlast the service where its broker does", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "herald-service-stores-"));
    const url = `file:${path.join(folder, "store")}`;
    const before = await started("one", url);
    await new EventStore(before).append("a", { type: "Said" });
    await before.stop();

    await using after = await started("one", url);

    expect(await new EventStore(after).version("a")).toBe(1);
    await after.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("are refused by name over a broker that keeps none, and before the service is started", async () => {
    const kafka = new MemoryBroker();
    Object.defineProperty(kafka, "name", { value: "kafka" });
    await using service = await started("one", kafka);
    const stopped = new MessagingService({ agentId: "two" });

    expect(() => new EventStore(service)).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining("'kafka'") }),
    );
    expect(() => new EventStore(stopped)).toThrow(expect.objectContaining({ code: "CLOSED" }));
  });
});
