import { describe, expect, it } from "vitest";
import type { Message } from "../core/message.ts";
import { traceOf } from "../core/trace.ts";
import { world } from "../../test/support/agents.ts";
import type { MessagingService } from "./service.ts";

/** Collects what comes on a channel, by a service that listens beside everybody else. */
async function collect(service: MessagingService, channel: string): Promise<Message[]> {
  const got: Message[] = [];
  await service.subscribe(channel, (message) => void got.push(message), { group: null });
  return got;
}

describe("what a handler publishes", () => {
  it("carries the conversation of the message it handles, before and after awaits, in timers and in nested calls", async () => {
    const { agent, time } = world();
    const service = await agent("a");
    const got = await collect(service, "out.*");
    const nested = (name: string): Promise<unknown> => service.publish(`out.${name}`, name);
    await service.subscribe("in", async () => {
      await nested("sync");
      await new Promise((resolve) => setImmediate(resolve));
      await service.publish("out.awaited", 1);
      await new Promise((resolve) => setTimeout(() => resolve(nested("timer")), 1));
      await Promise.all([1, 2].map(() => nested("parallel")));
      setImmediate(() => void nested("left-behind"));
    });

    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const id = await service.publish("in", 1, { correlationId: "order-7", traceparent });
    await expect.poll(() => got.length).toBe(6);

    const names = ["sync", "awaited", "timer", "parallel", "parallel", "left-behind"];
    expect(got.map(({ channel }) => channel)).toEqual(names.map((name) => `out.${name}`));
    for (const { metadata } of got) {
      expect(metadata).toMatchObject({ correlationId: "order-7", causationId: id, hops: 1 });
      expect(metadata.traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    }
    const spans = new Set(got.map(({ metadata }) => metadata.spanId));
    expect(spans.size).toBe(6);
    expect(spans).not.toContain("b7ad6b7169203331");
    await time.until(() => service.getMetrics().handled === 7, "all to be handled");
  });

  it("starts a trace and a conversation under the first message's own id where that had none", async () => {
    const { agent } = world();
    const service = await agent("a");
    const [first, second] = [await collect(service, "one"), await collect(service, "two")];
    await service.subscribe("one", () => service.publish("two", null));

    const id = await service.publish("one", null);
    await expect.poll(() => second.length).toBe(1);

    expect(first[0]?.metadata).toMatchObject({ correlationId: id });
    for (const absent of ["causationId", "traceparent", "hops"])
      expect(first[0]?.metadata).not.toHaveProperty(absent);
    expect(second[0]?.metadata).toMatchObject({
      correlationId: id,
      causationId: id,
      traceId: id.replaceAll("-", ""),
    });
    expect(traceOf(second[0]?.metadata.traceparent ?? "")?.spanId).not.toBe(id.replaceAll("-", "").slice(16));
  });

  it("counts hops and keeps the correlation over a chain of agents, each naming its own cause", async () => {
    const { agent } = world();
    const agents = await Promise.all(["a", "b", "c"].map((agentId) => agent(agentId)));
    const [a, b, c] = agents as [MessagingService, MessagingService, MessagingService];
    const got = await collect(a, "step.*");
    await b.subscribe("step.0", (message) => c.publish("step.1", message.payload));
    await c.subscribe("step.1", (message) => b.publish("step.2", message.payload));

    const id = await a.publish("step.0", "x");
    await expect.poll(() => got.length).toBe(3);

    expect(got.map(({ metadata }) => metadata.hops)).toEqual([undefined, 1, 2]);
    expect(got.map(({ metadata }) => metadata.correlationId)).toEqual([id, id, id]);
    expect(got.map(({ metadata }) => metadata.causationId)).toEqual([undefined, id, got[1]?.id]);
    expect(new Set(got.slice(1).map(({ metadata }) => metadata.traceId)).size).toBe(1);
  });

  it("says of itself what its author says, and no more of the conversation than that is replaced", async () => {
    const { agent } = world();
    const service = await agent("a");
    const got = await collect(service, "out");
    const traceparent = "00-11111111111111111111111111111111-2222222222222222-00";
    await service.subscribe("in", async () => {
      await service.publish("out", 1, { correlationId: "mine", causationId: "other", traceparent });
      await service.publish("out", 2, { correlationId: "mine" });
    });

    const id = await service.publish("in", 1);
    await expect.poll(() => got.length).toBe(2);

    expect(got[0]?.metadata).toMatchObject({
      correlationId: "mine",
      causationId: "other",
      traceparent,
      hops: 1,
    });
    expect(got[1]?.metadata).toMatchObject({ correlationId: "mine", causationId: id, hops: 1 });
  });

  it("belongs to its own message when two handlers run at the same time", async () => {
    const { agent } = world();
    const service = await agent("a");
    const got = await collect(service, "out");
    const both = Promise.withResolvers<void>();
    let running = 0;
    await service.subscribe("in", async (message) => {
      if (++running === 2) both.resolve();
      await both.promise;
      await service.publish("out", message.payload);
      await new Promise((resolve) => setImmediate(resolve));
      await service.publish("out", message.payload);
    });

    const ids = { left: await service.publish("in", "left"), right: await service.publish("in", "right") };
    await expect.poll(() => got.length).toBe(4);

    for (const { payload, metadata } of got)
      expect(metadata.causationId).toBe(ids[payload as keyof typeof ids]);
    expect(got.filter(({ payload }) => payload === "left")).toHaveLength(2);
  });

  it("is no part of what is published beside it, outside of every handler", async () => {
    const { agent } = world();
    const service = await agent("a");
    const got = await collect(service, "out");
    const inside = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    await service.subscribe("in", async () => {
      inside.resolve();
      await release.promise;
    });
    await service.publish("in", 1);
    await inside.promise;

    const id = await service.publish("out", "while it runs");
    release.resolve();
    await expect.poll(() => got.length).toBe(1);

    expect(got[0]?.metadata).toMatchObject({ correlationId: id });
    for (const absent of ["causationId", "traceparent", "hops"])
      expect(got[0]?.metadata).not.toHaveProperty(absent);
  });

  it("does not leak into the handlers of a subscription that a handler makes", async () => {
    const { agent } = world();
    const service = await agent("a");
    const got = await collect(service, "out");
    await service.subscribe("in", async () => {
      await service.subscribe("later", () => service.publish("out", 1));
    });
    await service.publish("in", 1);
    await expect.poll(() => service.listSubscriptions().map(({ channel }) => channel)).toContain("later");

    const id = await service.publish("later", 1);
    await expect.poll(() => got.length).toBe(1);

    expect(got[0]?.metadata).toMatchObject({ correlationId: id, causationId: id, hops: 1 });
  });
});

describe("a request that a handler makes", () => {
  it("carries the conversation there and back, and each of two at the same time gets its own reply", async () => {
    const { agent } = world();
    const [asker, answerer] = [await agent("asker"), await agent("answerer")];
    const questions = await collect(asker, "question");
    const replies: Message[] = [];
    await answerer.subscribe("reply.#", (message) => void replies.push(message), { group: null });
    await answerer.subscribe("question", async (message) => {
      if (message.payload === "slow") await new Promise((resolve) => setImmediate(resolve));
      return `${String(message.payload)} answer`;
    });
    const answers: unknown[] = [];
    await asker.subscribe("in", async (message) => {
      answers.push(
        await Promise.all([asker.request("question", "slow"), asker.request("question", message.payload)]),
      );
    });

    const id = await asker.publish("in", "quick");
    await expect.poll(() => answers).toEqual([["slow answer", "quick answer"]]);

    for (const { metadata } of questions) {
      expect(metadata).toMatchObject({ correlationId: id, causationId: id, hops: 1, type: "query" });
    }
    await expect.poll(() => replies.length).toBe(2);
    for (const { metadata } of replies) {
      expect(metadata).toMatchObject({ correlationId: id, hops: 2, type: "reply", to: "asker" });
      expect(questions.map(({ id }) => id)).toContain(metadata.causationId);
    }
  });
});

describe("two agents that answer each other in a circle", () => {
  it("are cut at the hop limit: the next publish rejects with HOP_LIMIT, and the message becomes a dead letter", async () => {
    const { agent, broker } = world();
    const limits = { maxHops: 5 };
    const [ping, pong] = [await agent("ping", { limits }), await agent("pong", { limits })];
    const seen = await collect(ping, "*");
    await ping.subscribe("pong", (message) => ping.publish("ping", message.payload));
    await pong.subscribe("ping", (message) => pong.publish("pong", message.payload));

    await ping.publish("ping", "ball");
    await expect.poll(async () => (await ping.deadLetters.stats()).total).toBe(1);

    expect(seen.map(({ metadata }) => metadata.hops ?? 0)).toEqual([0, 1, 2, 3, 4, 5]);
    const [letter] = await ping.deadLetters.list();
    expect(letter).toMatchObject({ code: "HOP_LIMIT", channel: "pong", group: "ping", attempts: 1 });
    expect(letter?.reason).toContain(
      "agents answer each other in a circle; break it, or raise limits.maxHops",
    );
    expect(
      (await broker.inspect()).channels.flatMap(({ groups }) => groups).every(({ lag }) => lag === 0),
    ).toBe(true);
  });

  it("are cut after 32 hops unless the limits say otherwise", async () => {
    const { agent } = world();
    const service = await agent("a");
    let runs = 0;
    await service.subscribe("again", () => {
      runs++;
      return service.publish("again", null);
    });

    await service.publish("again", null);
    await expect.poll(async () => (await service.deadLetters.stats()).total).toBe(1);

    expect(runs).toBe(33);
  });
});
