import { describe, expect, it, onTestFinished } from "vitest";
import { MemoryBroker } from "../../brokers/memory/broker.ts";
import type { Message } from "../../core/message.ts";
import type { MessagingServiceOptions } from "../options.ts";
import type { PublishMiddleware } from "../publish-chain.ts";
import { MessagingService } from "../service.ts";
import { createPipeline } from "./pipeline.ts";
import { createRouting } from "./routing.ts";

async function started(
  agentId: string,
  options: Partial<MessagingServiceOptions> = {},
): Promise<MessagingService> {
  const service = new MessagingService({ agentId, ...options });
  await service.start();
  onTestFinished(async () => void (await service.stop()));
  return service;
}

const STEPS = [
  { jmespath: "{order: id, cents: price}" },
  { jsonata: '$merge([$, { "euros": cents / 100 }])' },
  (payload: unknown) => ({ ...(payload as object), seen: true }),
  { template: { text: "{{order}}: {{euros}}", by: "{{source}}" } },
];

describe("a pipeline", () => {
  it("makes the payload over, step by step, before a message is held to its contract", async () => {
    const schema = { type: "object", required: ["text"] };
    const service = await started("shop", {
      messaging: { publishes: [{ channel: "orders.created", schema }] },
    });
    service.usePublish((await createPipeline({ steps: STEPS })).publish);
    const got: unknown[] = [];
    await service.subscribe("orders.created", ({ payload }) => void got.push(payload));
    await service.publish("orders.created", { id: 7, price: 250 });
    await expect.poll(() => got).toEqual([{ text: "7: 2.5", by: "shop" }]);
  });

  it("does the same on receive, for the handlers that come after it, and for its channels only", async () => {
    const service = await started("shop");
    service.use((await createPipeline({ channels: ["orders.*"], steps: STEPS })).receive);
    const got: unknown[] = [];
    await service.subscribe("#", ({ payload }) => void got.push(payload));
    await service.publish("bills.paid", { id: 1 });
    await service.publish("orders.created", { id: 7, price: 250 });
    await expect.poll(() => got).toEqual([{ id: 1 }, { text: "7: 2.5", by: "shop" }]);
  });

  it("rejects the publish when a step fails, and nothing is sent", async () => {
    const service = await started("shop");
    service.usePublish((await createPipeline({ steps: [{ template: "{{gone}}" }] })).publish);
    await expect(service.publish("orders.created", {})).rejects.toMatchObject({ code: "TRANSFORM_FAILED" });
    expect((await service.listChannels()).map(({ channel }) => channel)).toEqual(["dlq.shop"]);
  });

  it("sends to the dead letters at once what it cannot make over on receive, as it came", async () => {
    const service = await started("shop");
    service.use((await createPipeline({ steps: [{ jsonata: "gone" }] })).receive);
    let handled = 0;
    await service.subscribe("orders.created", () => void handled++);
    await service.publish("orders.created", { id: 1 });
    await expect.poll(async () => (await service.deadLetters.list()).length).toBe(1);
    const [letter] = await service.deadLetters.list();
    expect(letter).toMatchObject({ code: "TRANSFORM_FAILED", attempts: 1, message: { payload: { id: 1 } } });
    expect(handled).toBe(0);
  });

  it("leaves commands, replies and what goes to one agent alone, unless its channels name them", async () => {
    const service = await started("shop");
    service.usePublish((await createPipeline({ steps: [() => "made over"] })).publish);
    await service.registerCommandHandler("echo", async (input) => input);
    expect(await service.sendCommand("shop", "echo", { n: 1 })).toEqual({ n: 1 });
    const named = await started("named");
    named.usePublish(
      (await createPipeline({ channels: "agent.named.commands.*", steps: [() => "made over"] })).publish,
    );
    await named.registerCommandHandler("echo", async (input) => input);
    expect(await named.sendCommand("named", "echo", { n: 1 })).toBe("made over");
  });

  it("refuses a step that is none, and a pattern that is none", async () => {
    await expect(createPipeline({ steps: [{} as never] })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(createPipeline({ steps: [{ jmespath: "a[" }] })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await expect(createPipeline({ channels: "a..b", steps: [] })).rejects.toMatchObject({
      code: "INVALID_CHANNEL",
    });
  });
});

describe("middlewares around a publish", () => {
  it("go outside in, may change payload and options, and come before the rules", async () => {
    const broker = new MemoryBroker();
    const document = {
      apiVersion: "ossa/v0.3.1",
      kind: "MessageRouting",
      metadata: { name: "team" },
      spec: { rules: [{ source: "shop", channel: "a", targets: ["audit"], filter: { fields: { n: 2 } } }] },
    };
    const service = await started("shop", { broker, routing: await createRouting(document) });
    const trace: string[] = [];
    const adding =
      (name: string): PublishMiddleware =>
      async (outgoing, next) => {
        trace.push(`${name} in`);
        outgoing.payload = { n: (outgoing.payload as { n: number }).n + 1 };
        outgoing.options = { ...outgoing.options, headers: { ...outgoing.options.headers, [name]: "1" } };
        await next();
        trace.push(`${name} out`);
      };
    service.usePublish(adding("x")).usePublish(adding("y"));
    const audit = await started("audit", { broker });
    const got: Message[] = [];
    await audit.subscribe("agent-audit", (message) => void got.push(message));
    const payload = { n: 0 };
    const id = await service.publish("a", payload);
    expect([id.length, payload, trace]).toEqual([36, { n: 0 }, ["x in", "y in", "y out", "x out"]]);
    await expect
      .poll(() => got)
      .toMatchObject([{ payload: { n: 2 }, metadata: { headers: { x: "1", y: "1" } } }]);
  });

  it("keep the order of the calls on one channel, whatever they wait for", async () => {
    const service = await started("shop");
    service.usePublish(async ({ payload }, next) => {
      if ((payload as number) % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      await next();
    });
    const got: unknown[] = [];
    await service.subscribe("a", ({ payload }) => void got.push(payload), { maxConcurrency: 1 });
    const numbers = Array.from({ length: 20 }, (_none, n) => n);
    await Promise.all(numbers.map((n) => service.publish("a", n)));
    await expect.poll(() => got).toEqual(numbers);
  });

  it("reject the publish with what they throw, with a second next, and when they keep the message back", async () => {
    const service = await started("shop");
    let middleware: PublishMiddleware = () => undefined;
    service.usePublish((outgoing, next) => middleware(outgoing, next));
    await expect(service.publish("a", 1)).rejects.toMatchObject({ code: "REJECTED" });
    middleware = () => {
      throw new Error("no");
    };
    await expect(service.publish("a", 1)).rejects.toMatchObject({ message: "no" });
    middleware = async (_outgoing, next) => {
      await next();
      await next();
    };
    await expect(service.publish("a", 1)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    middleware = (_outgoing, next) => next();
    expect(await service.publish("a", 1)).toHaveLength(36);
  });

  it("are waited for by stop()", async () => {
    const broker = new MemoryBroker();
    const [service, other] = [
      await started("shop", { broker, closeBroker: false }),
      await started("other", { broker }),
    ];
    const got: unknown[] = [];
    await other.subscribe("a", ({ payload }) => void got.push(payload));
    service.usePublish(async (_outgoing, next) => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      await next();
    });
    const published = service.publish("a", 1);
    await service.stop();
    expect(await published).toHaveLength(36);
    await expect.poll(() => got).toEqual([1]);
  });
});
