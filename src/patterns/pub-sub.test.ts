import { describe, expect, it, onTestFinished } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { PubSub } from "../service/patterns.ts";
import { MessagingService } from "../service/service.ts";

function over(broker: MemoryBroker): PubSub {
  const topics = new PubSub(broker);
  onTestFinished(() => topics.close());
  return topics;
}

describe("a topic", () => {
  it("gives every subscriber over a bare broker what is published, and needs not be created", async () => {
    const broker = new MemoryBroker();
    const [a, b] = [over(broker), over(broker)];
    const got: unknown[] = [];
    await a.subscribe("user.created", ({ payload }) => got.push(["a", payload]));
    await b.subscribe("user.*", ({ payload }) => got.push(["b", payload]));
    const id = await a.publish("user.created", { id: 1, name: "John" });
    expect(id).toHaveLength(36);
    await expect.poll(() => got.length).toBe(2);
    expect(got.toSorted()).toEqual([
      ["a", { id: 1, name: "John" }],
      ["b", { id: 1, name: "John" }],
    ]);
  });

  it("is shared by the replicas of an agent, over its service", async () => {
    const broker = new MemoryBroker();
    const got: number[] = [];
    for (let replica = 0; replica < 2; replica++) {
      const service = new MessagingService({ agentId: "a", broker });
      await service.start();
      onTestFinished(async () => void (await service.stop()));
      await new PubSub(service).subscribe<number>("n", ({ payload }) => got.push(payload));
    }
    const topics = over(broker);
    for (let n = 0; n < 10; n++) await topics.publish("n", n);
    await expect.poll(() => got.toSorted((x, y) => x - y)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("is created, listed and deleted with what it holds", async () => {
    const topics = over(new MemoryBroker());
    await topics.createTopic("b.two");
    await topics.publish("a.one", 1);
    expect(await topics.listTopics()).toEqual(["a.one", "b.two"]);
    await topics.deleteTopic("a.one");
    await topics.deleteTopic("never.there");
    expect(await topics.listTopics()).toEqual(["b.two"]);
    await expect(topics.createTopic("not a name")).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
  });

  it("cannot be created where the broker cannot look after channels", async () => {
    const broker = new MemoryBroker();
    Object.defineProperty(broker, "admin", { value: undefined });
    await expect(over(broker).createTopic("x")).rejects.toMatchObject({
      code: "UNSUPPORTED",
      details: { ability: "admin" },
    });
  });
});
