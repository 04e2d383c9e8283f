import { describe, expect, it } from "vitest";
import { world } from "../../test/support/agents.ts";
import type { Consumed } from "./consume.ts";
import type { SubscribeOptions } from "./options.ts";
import type { MessagingService } from "./service.ts";

/** A loop over `jobs` that runs, hands every message to `body`, and ends when that returns true. */
async function looping(
  service: MessagingService,
  body: (consumed: Consumed) => boolean | void | Promise<boolean | void>,
  options?: SubscribeOptions,
): Promise<{ readonly ended: Promise<void> }> {
  const ended = (async () => {
    for await (const consumed of service.consume("jobs", options))
      if ((await body(consumed)) === true) return;
  })();
  await expect.poll(() => service.listSubscriptions()).toHaveLength(1);
  return { ended };
}

async function lagOf(service: MessagingService): Promise<unknown> {
  return (await service.getConsumerLag({ channel: "jobs" })).map(({ lag, unsettled }) => [lag, unsettled]);
}

describe("a loop over consume", () => {
  it("may take a message apart, and keeps the reason that it gives one back for", async () => {
    const { agent } = world();
    const service = await agent("a");
    const { ended } = await looping(service, ({ message, ack, nack }) => {
      if (message.payload === "good") ack();
      else nack({ requeue: false, reason: "no paper" });
      return message.payload === "bad";
    });
    await service.publish("jobs", "good");
    await service.publish("jobs", "bad");
    await ended;

    await expect.poll(() => service.deadLetters.list()).toMatchObject([{ reason: "no paper" }]);
    expect(await lagOf(service)).toEqual([[0, 0]]);
  });

  it("settles by hand: acks, gives back after a delay, gives back by the retry policy, and gives up", async () => {
    const { agent, clock } = world();
    const service = await agent("a");
    const seen: string[] = [];
    const { ended } = await looping(service, (consumed) => {
      const { message, context } = consumed;
      seen.push(`${clock.monotonic()} ${String(message.payload)} ${context.attempt}`);
      if (context.attempt > 1 || message.payload === "ack") consumed.ack();
      else if (message.payload === "drop") consumed.nack({ requeue: false });
      else if (message.payload === "delay") consumed.nack({ delayMs: 10 });
      else consumed.nack();
      return seen.length === 6;
    });

    for (const payload of ["ack", "drop", "delay", "policy"]) await service.publish("jobs", payload);
    await clock.advanceAsync(1000);
    await ended;

    expect(seen).toEqual(["0 ack 1", "0 drop 1", "0 delay 1", "0 policy 1", "10 delay 2", "1000 policy 2"]);
    expect(await service.deadLetters.list()).toMatchObject([
      { code: "REJECTED", message: { payload: "drop" } },
    ]);
    expect(await lagOf(service)).toEqual([[0, 0]]);
  });

  it("settles through the context as well", async () => {
    const { agent } = world();
    const service = await agent("a");
    const seen: unknown[] = [];
    const { ended } = await looping(service, ({ message, context }) => {
      const { agentId, group, redelivered, signal, body, position } = context;
      seen.push([
        message.payload,
        agentId,
        group,
        redelivered,
        signal.aborted,
        Buffer.from(body).toString(),
        position,
      ]);
      if (message.payload === 1) context.ack();
      else context.nack({ requeue: false });
      return message.payload === 2;
    });

    for (const payload of [1, 2]) await service.publish("jobs", payload);
    await ended;

    expect(seen).toEqual([1, 2].map((n) => [n, "a", "a", false, false, String(n), expect.any(String)]));
    await expect.poll(() => lagOf(service)).toEqual([[0, 0]]);
    expect(service.getMetrics()).toMatchObject({ handled: 1, deadLettered: 1 });
  });

  it("passes over what has timed out before it came to it, and gets it again as another attempt", async () => {
    const { agent, clock } = world();
    const service = await agent("a", { handlerTimeoutMs: 100, retry: { backoff: { initialDelayMs: 50 } } });
    const seen: string[] = [];
    const first = Promise.withResolvers<void>();
    const { ended } = await looping(service, async (consumed) => {
      const { message, context } = consumed;
      seen.push(`${String(message.payload)} ${context.attempt}`);
      if (seen.length === 1) await first.promise;
      consumed.ack();
      return seen.length === 3;
    });
    for (const payload of ["slow", "waiting"]) await service.publish("jobs", payload);

    await clock.advanceAsync(100);
    first.resolve();
    await clock.advanceAsync(50);
    await ended;

    expect(seen).toEqual(["slow 1", "slow 2", "waiting 2"]);
    expect(await lagOf(service)).toEqual([[0, 0]]);
  });

  it("gives back what it has not looked at, uncounted, when it is left or when its signal fires", async () => {
    const { agent } = world();
    const service = await agent("a");
    const stop = new AbortController();
    const seen: unknown[] = [];
    const { ended } = await looping(service, ({ message }) => void seen.push(message.payload), {
      signal: stop.signal,
    });
    for (const payload of [1, 2]) await service.publish("jobs", payload);
    await expect.poll(() => seen).toEqual([1, 2]);

    stop.abort();
    await ended;
    expect(await lagOf(service)).toEqual([[2, 0]]);

    const attempts: number[] = [];
    const again = await looping(service, ({ context }) => attempts.push(context.attempt) === 1);
    await again.ended;
    expect(attempts).toEqual([1]);
    expect(await lagOf(service)).toEqual([[2, 0]]);
  });

  it("rejects with what subscribing rejects with", async () => {
    const { agent } = world();
    const service = await agent("a");

    await expect(service.consume("no name").next()).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
    await service.stop();
    await expect(service.consume("jobs").next()).rejects.toMatchObject({ code: "CLOSED" });
  });
});
