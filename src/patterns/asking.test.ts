import { describe, expect, it } from "vitest";
import { world } from "../../test/support/agents.ts";
import { HeraldError, NoResponderError, RequestTimeoutError } from "../core/errors.ts";
import type { Metadata } from "../core/message.ts";

describe("asking through services", () => {
  it("a hundred thousand requests leave nothing behind", async () => {
    const { clock, time, broker, agent } = world();
    const a = await agent("a");
    const b = await agent("b");
    await b.subscribe("sum", ({ payload }) => (payload as number) + 1);
    let wrong = 0;
    for (let batch = 0; batch < 100; batch++) {
      const answers = Array.from({ length: 1000 }, (_none, at) => a.request("sum", batch * 1000 + at));
      const got = await time.drive(Promise.all(answers));
      got.forEach((answer, at) => void (answer === batch * 1000 + at + 1 || wrong++));
    }
    await time.elapse(120_000);

    expect(wrong).toBe(0);
    const { channels } = await broker.inspect();
    expect(channels.flatMap(({ groups }) => groups).every(({ lag }) => lag === 0)).toBe(true);
    expect(a.getMetrics()).toMatchObject({ published: 100_000, handled: 100_000, lateReplies: 0, failed: 0 });
    // Each consumer's waiting receive shares one timer; no request has left another.
    expect(clock.pending).toBeLessThanOrEqual(2);
  });

  it("late replies are counted and dropped", async () => {
    const { time, agent } = world();
    const a = await agent("a");
    const run = Promise.withResolvers<string>();
    await a.subscribe("slow", () => run.promise);
    const answer = expect(a.request("slow", 1, { timeoutMs: 100 })).rejects.toBeInstanceOf(
      RequestTimeoutError,
    );
    await time.elapse(100);
    await answer;
    run.resolve("too late");
    await time.elapse(1);

    expect(a.getMetrics()).toMatchObject({ lateReplies: 1, failed: 0 });
  });

  it("a handler's error is the caller's CommandError, and is neither retried nor dead-lettered", async () => {
    const { time, agent } = world();
    const a = await agent("a");
    const b = await agent("b");
    let runs = 0;
    await b.registerCommandHandler("scan", () => {
      runs++;
      throw new HeraldError("OUT_OF_STOCK", "None left.");
    });
    await expect(time.drive(a.sendCommand("b", "scan", {}))).rejects.toMatchObject({
      name: "CommandError",
      code: "OUT_OF_STOCK",
    });
    await expect(time.drive(a.sendCommand("b", "unknown", {}))).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(time.drive(a.sendCommand("nobody", "scan", {}))).rejects.toBeInstanceOf(NoResponderError);
    await time.elapse(60_000);

    expect(runs).toBe(1);
    expect((await a.deadLetters.stats()).total).toBe(0);
  });

  it("a request inside a handler belongs to its conversation", async () => {
    const { time, agent } = world();
    const a = await agent("a");
    const seen: Metadata[] = [];
    await a.subscribe("inner", ({ metadata }) => {
      seen.push(metadata);
      return "answer";
    });
    let answer: unknown;
    await a.subscribe("outer", async () => {
      answer = await a.request("inner", 1);
    });
    const id = await a.publish("outer", 1);
    await time.elapse(0);

    expect(answer).toBe("answer");
    expect(seen).toMatchObject([{ correlationId: id, causationId: id, hops: 1 }]);
  });
});
