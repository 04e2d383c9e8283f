import { expect, it, onTestFinished } from "vitest";
import type { Broker } from "../../src/core/broker.ts";
import type { Message } from "../../src/core/message.ts";
import { Topology } from "../../src/service/patterns.ts";

/** A storage; two brokers of it are two processes. */
export interface Shared {
  broker(): Broker;
}

/** Queues, exchanges and bindings, over whatever broker. */
export function topologyCases(makePlace: () => Shared): void {
  function made(place: Shared = makePlace()): Topology {
    const topology = new Topology(place.broker());
    onTestFinished(() => topology.close());
    return topology;
  }

  /** Collects what a queue hands out. */
  async function consuming(topology: Topology, queue: string): Promise<Message[]> {
    const seen: Message[] = [];
    await topology.consume(queue, (message) => void seen.push(message));
    return seen;
  }

  const payloads = (messages: readonly Message[]) => messages.map(({ payload }) => payload).toSorted();

  it("routes by topic, each queue once, and keeps what nobody reads yet", async () => {
    const topology = made();
    await topology.createExchange("shop");
    for (const queue of ["billing", "audit", "idle"]) await topology.createQueue(queue);
    await topology.bind("billing", "shop", "orders.*");
    await topology.bind("billing", "shop", "*.created");
    await topology.bind("audit", "shop", "#");

    const routed = await topology.publish("shop", "orders.created", 1, { headers: { "x-tenant": "a" } });
    expect(routed.queues.toSorted()).toEqual(["audit", "billing"]);
    expect((await topology.publish("shop", "users.deleted", 2)).queues).toEqual(["audit"]);
    await topology.sendToQueue("billing", 3);

    const [billing, audit] = [await consuming(topology, "billing"), await consuming(topology, "audit")];
    await expect
      .poll(() => [payloads(billing), payloads(audit)])
      .toEqual([
        [1, 3],
        [1, 2],
      ]);
    expect(billing.find(({ payload }) => payload === 1)?.metadata).toMatchObject({
      correlationId: routed.id,
      headers: { "x-exchange": "shop", "x-routing-key": "orders.created", "x-tenant": "a" },
    });
  });

  it("lets another process see at once what was made, bound and taken away", async () => {
    const place = makePlace();
    const [one, other] = [made(place), made(place)];
    await one.createExchange("jobs", { type: "direct" });
    await one.createQueue("fast");
    expect(await other.listQueues()).toEqual(["fast"]);
    await other.bind("fast", "jobs", "now!");
    expect((await one.publish("jobs", "now!", "a")).queues).toEqual(["fast"]);
    expect((await one.publish("jobs", "later", "b")).queues).toEqual([]);
    await one.unbind("fast", "jobs", "now!");
    expect((await other.publish("jobs", "now!", "c")).queues).toEqual([]);
    const seen = await consuming(other, "fast");
    await expect.poll(() => payloads(seen)).toEqual(["a"]);
    await other.deleteExchange("jobs");
    expect(await one.listExchanges()).toEqual([]);
  });

  it("gives a message that is published again under its id to each queue once", async () => {
    const topology = made();
    await topology.createExchange("news", { type: "fanout" });
    for (const queue of ["left", "right"]) {
      await topology.createQueue(queue);
      await topology.bind(queue, "news", "");
    }
    for (let time = 0; time < 3; time++) await topology.publish("news", "any", "same", { id: "one" });
    await topology.publish("news", "any", "end", { id: "two" });
    const [left, right] = [await consuming(topology, "left"), await consuming(topology, "right")];
    const ids = (messages: readonly Message[]) => new Set(messages.map(({ id }) => id)).size;
    await expect.poll(() => [ids(left), ids(right)]).toEqual([2, 2]);
    expect(left[0]?.id).not.toBe(right[0]?.id);
  });

  it("refuses what is not there, and forgets a queue with its bindings", async () => {
    const topology = made();
    await topology.createExchange("shop");
    const missing = { code: "NOT_FOUND" };
    await expect(topology.bind("none", "shop", "#")).rejects.toMatchObject(missing);
    await expect(topology.consume("none", () => {})).rejects.toMatchObject(missing);
    await expect(topology.sendToQueue("none", 1)).rejects.toMatchObject(missing);
    await expect(topology.publish("none", "a", 1)).rejects.toMatchObject(missing);
    await expect(topology.publish("shop", "a", 1, { id: "two words" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(topology.createExchange("shop", { type: "fanout" })).rejects.toMatchObject({
      code: "ALREADY_EXISTS",
    });
    await topology.createExchange("shop");
    await topology.createQueue("gone");
    await topology.bind("gone", "shop", "a.*");
    await expect(topology.bind("gone", "shop", "a b")).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
    expect(await topology.listBindings()).toEqual([{ queue: "gone", exchange: "shop", key: "a.*" }]);
    await topology.deleteQueue("gone");
    await topology.deleteQueue("gone");
    expect([await topology.listQueues(), await topology.listBindings()]).toEqual([[], []]);
  });
}
