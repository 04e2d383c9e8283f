import { describe, expect, it } from "vitest";
import { withBroadcast, withDelay, withPriority, withWildcard } from "../../src/brokers/emulate/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { conforms } from "../support/conforms.ts";
import { EMULATED, type EmulatedName } from "../support/emulated.ts";
import { emulateFileHarness, emulateMemoryHarness } from "../support/harness-emulate.ts";
import { LessBroker } from "../support/less-broker.ts";
import { PlainBroker } from "../support/plain-broker.ts";

const EACH = (Object.keys(EMULATED) as EmulatedName[]).filter((name) => name !== "all");
// What a wrapper could break alone: delivery, order, retries, time. Together they are held to all of it.
const CASES = /^[abcd]/;

testBroker({ ...emulateMemoryHarness("all"), scale: 0.05 }, { describe, it });

it.each(EACH)("conforms with %s alone", async (name) => {
  const passed = await conforms({ ...emulateMemoryHarness(name), scale: 0.05 }, (id) => CASES.test(id));
  expect(passed).toBeGreaterThan(40);
});

it("loses nothing, all around one another, when consumers in processes of their own are killed", async () => {
  await conforms(emulateFileHarness("all"), (id) => id.startsWith("i02"));
}, 300_000);

const refusal = (code: string, field?: string) =>
  expect.objectContaining(
    field === undefined ? { code } : { code, details: expect.objectContaining({ field }) },
  );

describe("a wrapper that supplies an ability", () => {
  it("hands on and nothing else where the broker has it", async () => {
    const inner = new MemoryBroker();
    const broker = withPriority(withDelay(withBroadcast(withWildcard(inner))));
    const service = new MessagingService({ agentId: "a", broker });
    await service.start();
    await service.subscribe("a.*", () => Promise.resolve());
    await service.publish("a.b", 1, { priority: "critical", delayMs: 1 });
    expect((await inner.admin.list()).filter((name) => name.startsWith("system."))).toEqual([]);
    await service.stop();
  });

  it("lets an agent start where it was refused without", async () => {
    const off = ["delay", "nackDelay"] as const;
    const without = new MessagingService({ agentId: "a", broker: new LessBroker(new MemoryBroker(), off) });
    await without.start();
    await expect(without.subscribe("c", () => Promise.resolve())).rejects.toThrow("withDelay");
    await without.stop();

    const broker = withDelay(new LessBroker(new MemoryBroker(), off));
    const service = new MessagingService({
      agentId: "a",
      broker,
      retry: { maxAttempts: 3, backoff: { initialDelayMs: 5 } },
    });
    await service.start();
    let attempts = 0;
    await service.subscribe("c", async () => {
      attempts++;
      if (attempts < 3) throw new Error("not yet");
    });
    await service.publish("c", 1, { delayMs: 5 });
    await expect.poll(() => attempts).toBe(3);
    await service.stop();
  });

  it.each([
    ["wildcard", withWildcard],
    ["broadcast", withBroadcast],
    ["priority", withPriority],
  ] as const)("refuses a broker without admin: %s", async (ability, wrap) => {
    const broker = wrap(new PlainBroker(new MemoryBroker(), [ability]));
    await expect(broker.open()).rejects.toEqual(refusal("UNSUPPORTED"));
  });

  it("refuses delay for a broker without groups, and options that make no sense", async () => {
    const broker = withDelay(new LessBroker(new MemoryBroker(), ["delay", "groups"]));
    await expect(broker.open()).rejects.toThrow("groups");
    expect(() => withPriority(new MemoryBroker(), { bands: 0 })).toThrow(
      refusal("INVALID_ARGUMENT", "bands"),
    );
    expect(() => withBroadcast(new MemoryBroker(), { orphanMs: 0 })).toThrow(
      refusal("INVALID_ARGUMENT", "orphanMs"),
    );
  });
});
