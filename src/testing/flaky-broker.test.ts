import { describe, expect, it } from "vitest";
import { envelope } from "../../test/support/envelopes.ts";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import type { PublishResult } from "../core/broker.ts";
import { FlakyBroker, type FaultRule } from "./flaky-broker.ts";

async function flaky(...rules: FaultRule[]) {
  const broker = new FlakyBroker(new MemoryBroker());
  await broker.open();
  const subscription = await broker.subscribe({ pattern: "#", group: "g", prefetch: 100 });
  for (const rule of rules) broker.inject(rule);
  const stored = async () => (await subscription.receive(100, 0)).map(({ envelope: { id } }) => id);
  return { broker, subscription, stored };
}

function codes(results: readonly PublishResult[]): string[] {
  return results.map((result) => (result.ok ? "ok" : result.error.code));
}

describe("a publish", () => {
  const batch = ["a", "b", "c"].map((id) => envelope({ id }));

  it("passes when no rule matches", async () => {
    const { broker, stored } = await flaky({ on: "publish", fault: "refuse", channel: "other.#" });

    expect(codes(await broker.publish(batch))).toEqual(["ok", "ok", "ok"]);
    expect(await stored()).toEqual(["a", "b", "c"]);
    expect(broker.injected).toBe(0);
  });

  it("is refused whole, and nothing is stored", async () => {
    const { broker, stored } = await flaky({ on: "publish", fault: "refuse", code: "NOT_CONNECTED" });

    expect(codes(await broker.publish(batch))).toEqual(["NOT_CONNECTED", "NOT_CONNECTED", "NOT_CONNECTED"]);
    expect(await stored()).toEqual([]);
  });

  it("is refused by half, each result in its place", async () => {
    const { broker, stored } = await flaky({ on: "publish", fault: "half" });

    expect(codes(await broker.publish(batch))).toEqual(["ok", "OVERLOADED", "ok"]);
    expect(await stored()).toEqual(["a", "c"]);
  });

  it("is stored although its answer is lost", async () => {
    const { broker, stored } = await flaky({ on: "publish", fault: "unknown" });

    expect(codes(await broker.publish(batch))).toEqual(["TIMEOUT", "TIMEOUT", "TIMEOUT"]);
    expect(await stored()).toEqual(["a", "b", "c"]);
  });

  it("meets silence until the broker heals", async () => {
    const { broker, stored } = await flaky({ on: "publish", fault: "silence" });
    const publish = broker.publish(batch);

    broker.heal();

    await expect(publish).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    expect(codes(await broker.publish(batch))).toEqual(["ok", "ok", "ok"]);
    expect(await stored()).toEqual(["a", "b", "c"]);
  });

  it("fails only for the channels of the rule", async () => {
    const { broker } = await flaky({ on: "publish", fault: "refuse", channel: "dlq.#" });

    expect(codes(await broker.publish([envelope({ channel: "c" }), envelope({ channel: "dlq.a" })]))).toEqual(
      ["ok", "OVERLOADED"],
    );
  });
});

describe("a rule", () => {
  it("strikes every n-th call, so often and no more, and says so", async () => {
    const { broker } = await flaky({ on: "publish", fault: "refuse", every: 2, times: 2 });
    const struck: string[] = [];
    broker.onFault((fault) => struck.push(fault));

    const seen: string[] = [];
    for (let n = 0; n < 8; n++) seen.push(...codes(await broker.publish([envelope()])));

    expect(seen).toEqual(["ok", "OVERLOADED", "ok", "OVERLOADED", "ok", "ok", "ok", "ok"]);
    expect([struck, broker.injected]).toEqual([["publish:refuse", "publish:refuse"], 2]);
  });
});

describe("other calls", () => {
  it("reject when they are refused", async () => {
    const { broker, subscription } = await flaky(
      { on: "subscribe", fault: "refuse" },
      { on: "receive", fault: "refuse", times: 1 },
      { on: "settle", fault: "refuse", times: 1 },
    );
    const rejection = { code: "NOT_CONNECTED" };

    await expect(broker.subscribe({ pattern: "c", group: null, prefetch: 1 })).rejects.toMatchObject(
      rejection,
    );
    await expect(subscription.receive(1, 0)).rejects.toMatchObject(rejection);
    await expect(subscription.settle([])).rejects.toMatchObject(rejection);
    expect(await subscription.receive(1, 0)).toEqual([]);
  });

  it("take effect when only their answer is lost", async () => {
    const { broker, subscription } = await flaky({ on: "settle", fault: "unknown" });
    await broker.publish([envelope({ channel: "c" })]);
    const deliveries = await subscription.receive(1, 0);

    await expect(
      subscription.settle(deliveries.map((delivery) => ({ kind: "ack", delivery }))),
    ).rejects.toMatchObject({ code: "TIMEOUT" });

    expect((await broker.inspect({ channels: ["c"] })).channels[0]?.groups[0]?.lag).toBe(0);
  });

  it("can fail while the broker is opened, and closing is never in the way", async () => {
    const broker = new FlakyBroker(new MemoryBroker(), [{ on: "open", fault: "refuse", times: 1 }]);

    await expect(broker.open()).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    await broker.open();
    await (await broker.subscribe({ pattern: "c", group: "g", prefetch: 1 })).close();
    await broker.close();

    expect((await broker.inspect()).state).toBe("down");
  });
});
