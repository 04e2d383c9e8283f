import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { world } from "../../test/support/agents.ts";
import { BrokerWrapper } from "../core/broker-wrapper.ts";
import { FileBroker } from "../brokers/file/broker.ts";
import { HeraldError } from "../core/errors.ts";
import { settlePromises } from "../testing/fake-clock.ts";
import { MessagingService } from "./service.ts";

const REST = 20;
async function rest(): Promise<void> {
  for (let turn = 0; turn < REST; turn++) await settlePromises();
}

/** Codes of what an agent gave up on. */
async function codes(service: MessagingService): Promise<unknown[]> {
  return (await service.deadLetters.list()).map(({ code, channel, failures }) => [
    code,
    channel,
    failures.at(-1)?.message.match(/budget: (\w+)/)?.[1],
  ]);
}

/** Two agents that answer each other without end. */
async function pingPong(agent: ReturnType<typeof world>["agent"], payload: (n: number) => unknown) {
  const [a, b] = [await agent("a"), await agent("b")];
  let handled = 0;
  await a.subscribe("to.a", () => a.publish("to.b", payload(++handled)));
  await b.subscribe("to.b", () => b.publish("to.a", payload(++handled)));
  return { a, b, handled: () => handled };
}

describe("a budget", () => {
  it("of hops ends a chain with a dead letter BUDGET_EXCEEDED", async () => {
    const { agent } = world();
    const { a, handled } = await pingPong(agent, (n) => n);
    await a.publish("to.b", 0, { budget: { hops: 4 } });
    await rest();
    // Hops 0 to 4 were handled; the last one's own message was refused.
    expect([handled(), await codes(a)]).toEqual([5, [["BUDGET_EXCEEDED", "to.b", "hops"]]]);
  });

  it("of messages holds over all branches and agents of a conversation, and not for another one", async () => {
    const { agent } = world();
    const service = await agent("a");
    let handled = 0;
    await service.subscribe("tree", async () => {
      handled++;
      for (const branch of [1, 2, 3]) await service.publish("tree", { handled, branch });
    });
    await service.publish("tree", 0, { budget: { messages: 20, hops: 5 }, correlationId: "talk-1" });
    await rest();
    expect(handled).toBe(20);
    const used = await service.conversations.used("talk-1");
    expect(used).toEqual({ messages: 1 + 3 * 20, spend: {} });
    expect(new Set((await codes(service)).map(String))).toEqual(new Set(["BUDGET_EXCEEDED,tree,messages"]));
    await service.publish("tree", 0, { budget: { hops: 0 } });
    await rest();
    expect(handled).toBe(21);
  });

  it("does not count a retry or a message that was given back again", async () => {
    const { clock, agent } = world();
    const service = await agent("a", { retry: { maxAttempts: 3 } });
    let calls = 0;
    await service.subscribe("work", (_message, { attempt }) => {
      calls++;
      if (attempt < 3) throw new Error("not yet");
    });
    await service.publish("work", 0, { budget: { messages: 1 }, correlationId: "t" });
    await clock.advanceAsync(10_000);
    expect([calls, await service.conversations.used("t"), await codes(service)]).toEqual([
      3,
      { messages: 1, spend: {} },
      [],
    ]);
  });

  it("of a deadline ends what comes too late, the handler not started", async () => {
    const { clock, agent } = world();
    const service = await agent("a");
    const seen: unknown[] = [];
    await service.subscribe("work", async ({ payload }) => {
      seen.push(payload);
      await service.publish("work", Number(payload) + 1, { delayMs: 1000 });
    });
    await service.publish("work", 0, { budget: { deadlineMs: 3500 } });
    for (let second = 0; second < 10; second++) await clock.advanceAsync(1000);
    expect([seen, await codes(service)]).toEqual([[0, 1, 2, 3], [["BUDGET_EXCEEDED", "work", "deadline"]]]);
  });

  it("of money and tokens is spent by handlers, side by side, and what goes over is a dead letter", async () => {
    const { agent } = world();
    const service = await agent("a");
    const left: number[] = [];
    await service.subscribe("split", async () => {
      await Promise.all([1, 2, 3, 4, 5].map((n) => service.publish("model", n)));
    });
    await service.subscribe("model", async (_message, context) => {
      const rest = await context.spend({ tokens: 300, euros: 0.01 });
      left.push(rest["tokens"] as number);
    });
    const budget = { spend: { tokens: 1000, euros: 1 } };
    await service.publish("split", 0, { budget, correlationId: "t" });
    await rest();
    expect(left.toSorted((x, y) => y - x)).toEqual([700, 400, 100]);
    const given = await codes(service);
    expect(given).toEqual([
      ["BUDGET_EXCEEDED", "model", "tokens"],
      ["BUDGET_EXCEEDED", "model", "tokens"],
    ]);
    expect((await service.conversations.used("t")).spend["tokens"]).toBeGreaterThan(1000);
    // What was spent is gone: the conversation gets nothing more.
    await service.publish("model", 6, { budget, correlationId: "t" });
    await rest();
    expect(left.length).toBe(3);
  });

  it("can only become tighter within a conversation, and its headers cannot be forged or passed on by hand", async () => {
    const { agent } = world();
    const { a } = await pingPong(agent, (n) => n);
    const hops: unknown[] = [];
    await a.subscribe("in", (message) =>
      a.publish("out", 1, { budget: { hops: 50 }, headers: { ...message.metadata.headers, mine: "1" } }),
    );
    await a.subscribe("out", ({ metadata }) => void hops.push(metadata.headers));
    await a.publish("in", 0, { budget: { hops: 3 }, headers: { "x-budget": "no", "x-trail": "no" } });
    await rest();
    expect(hops).toEqual([
      {
        mine: "1",
        "x-budget": '{"hops":3,"repeats":3}',
        "x-trail": expect.stringMatching(/^\w{12}$/) as string,
      },
    ]);
  });

  it("of a service holds for the conversations that it begins, and for no others", async () => {
    const { agent } = world();
    const a = await agent("a", { budget: { hops: 2 } });
    const b = await agent("b");
    let handled = 0;
    await a.subscribe("ring", ({ payload }) => {
      handled++;
      if (handled < 10) return a.publish("ring", [payload, handled]);
      return undefined;
    });
    await a.publish("ring", 0);
    await rest();
    expect(handled).toBe(3);
    await b.publish("ring", 0);
    await rest();
    expect(handled).toBe(10);
  });

  it.each([
    ["budget.hops", { hops: -1 }],
    ["budget.messages", { messages: 0 }],
    ["budget.spend.tokens", { spend: { tokens: Number.NaN } }],
    ["budget", { token: 5 } as object],
  ])("that is none is refused, naming %s", async (field, budget) => {
    const { agent } = world();
    const service = await agent("a");
    const refusal = expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }) as Error;
    await expect(service.publish("c", 1, { budget })).rejects.toEqual(refusal);
    expect(() => new MessagingService({ agentId: "b", budget })).toThrow(refusal);
  });

  it("that must be kept is refused by a broker that keeps nothing; one of hops and time is not", async () => {
    const { broker, agent } = world();
    const bare = Object.defineProperty(new BrokerWrapper(broker), "name", { value: "bare" });
    const service = await agent("a", { broker: bare });
    await expect(service.publish("c", 1, { budget: { messages: 5 } })).rejects.toMatchObject({
      code: "UNSUPPORTED",
    });
    await expect(service.publish("c", 1, { budget: { hops: 5, deadlineMs: 5 } })).resolves.toBeTypeOf(
      "string",
    );
    await expect(service.conversations.stop("t")).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });

  it("that a foreign hand wrote is MALFORMED, the handler not started", async () => {
    const { broker, agent } = world();
    const service = await agent("a");
    await service.subscribe("c", () => {});
    const { createEnvelope } = await import("../core/envelope.ts");
    const init = { id: "1", channel: "c", source: "s", time: 0, body: Buffer.from("1") };
    await broker.publish([createEnvelope({ ...init, headers: { "x-budget": "lots" } })]);
    await rest();
    expect((await codes(service)).map((row) => (row as unknown[])[0])).toEqual(["MALFORMED"]);
  });
});

describe("loop detection", () => {
  it("gives up on the same payload that goes round between the same two agents too often", async () => {
    const { agent } = world();
    const { a, b, handled } = await pingPong(agent, () => "thank you");
    await a.publish("to.b", "thank you", { budget: { hops: 30, repeats: 2 } });
    await rest();
    expect(handled()).toBe(4);
    expect(await codes(b)).toEqual([["LOOP_DETECTED", "to.b", undefined]]);
  });

  it("leaves alone what differs, and a message that is retried", async () => {
    const { clock, agent } = world();
    const { a, handled } = await pingPong(agent, (n) => n);
    await a.publish("to.b", 0, { budget: { hops: 10, repeats: 1 } });
    await rest();
    expect([handled(), await codes(a)]).toEqual([11, [["BUDGET_EXCEEDED", "to.b", "hops"]]]);

    const service = await agent("c", { retry: { maxAttempts: 5 } });
    let calls = 0;
    await service.subscribe("work", () => {
      if (++calls < 5) throw new Error("not yet");
    });
    await service.publish("work", 0, { budget: { repeats: 1 } });
    await clock.advanceAsync(60_000);
    expect(calls).toBe(5);
  });
});

describe("a conversation that is stopped", () => {
  it("goes to the dead letters, in another service too; others go on; released and redriven it is handled", async () => {
    const { clock, agent } = world();
    const [a, operator] = [await agent("a"), await agent("operator")];
    const seen: unknown[] = [];
    await a.subscribe("work", ({ payload }) => void seen.push(payload));
    await a.publish("work", "first", { correlationId: "bad" });
    await rest();
    await operator.conversations.stop("bad");
    await clock.advanceAsync(2000);
    await a.publish("work", "second", { correlationId: "bad" });
    await a.publish("work", "third", { correlationId: "good" });
    await rest();
    expect([seen, await codes(a)]).toEqual([
      ["first", "third"],
      [["CONVERSATION_STOPPED", "work", undefined]],
    ]);
    expect(await operator.conversations.release("bad")).toBe(true);
    expect(await operator.conversations.release("bad")).toBe(false);
    await clock.advanceAsync(2000);
    await a.deadLetters.redrive();
    await rest();
    expect(seen.at(-1)).toBe("second");
  });

  it("is known within two seconds where messages come without a pause, and none of them waits for the list", async () => {
    const { clock, agent } = world();
    const [a, operator] = [await agent("a"), await agent("operator")];
    let bad = 0;
    await a.subscribe("work", (message) => {
      if (message.metadata.correlationId === "bad") bad++;
    });
    const turn = async (): Promise<void> => {
      await a.publish("work", 0, { correlationId: "bad" });
      await a.publish("work", 0, { correlationId: "good" });
      await clock.advanceAsync(100);
    };
    for (let n = 0; n < 10; n++) await turn();
    await operator.conversations.stop("bad");
    for (let n = 0; n < 20; n++) await turn();
    const known = bad;
    for (let n = 0; n < 10; n++) await turn();
    expect([bad, a.getMetrics().deadLettered + bad]).toEqual([known, 40]);
    expect(known).toBeLessThan(30);
  });

  it("stays stopped for a service that starts later, from its first message on, over a file broker", async () => {
    const directory = mkdtempSync(path.join(tmpdir(), "herald-stops-"));
    const services: MessagingService[] = [];
    onTestFinished(async () => {
      for (const service of services) await service.stop({ gracePeriodMs: 0 });
      rmSync(directory, { recursive: true, force: true });
    });
    const open = async (agentId: string): Promise<MessagingService> => {
      const service = new MessagingService({ agentId, broker: new FileBroker({ directory }) });
      services.push(service);
      await service.start();
      return service;
    };
    const operator = await open("operator");
    await operator.conversations.stop("bad");
    const later = await open("later");
    let calls = 0;
    await later.subscribe("work", () => void calls++);
    await operator.publish("work", 1, { correlationId: "bad" });
    await expect.poll(() => later.getMetrics().deadLettered).toBe(1);
    expect([calls, (await codes(later))[0]]).toEqual([0, ["CONVERSATION_STOPPED", "work", undefined]]);
  });

  it("needs an id", async () => {
    const { agent } = world();
    const service = await agent("a");
    await expect(service.conversations.stop("")).rejects.toBeInstanceOf(HeraldError);
  });
});
