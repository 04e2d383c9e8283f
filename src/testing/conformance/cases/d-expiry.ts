import assert from "node:assert/strict";
import type { CaseContext } from "../context.ts";
import type { RecordedService } from "../recorded-service.ts";
import type { ConformanceCase } from "../case.ts";
import { inTime } from "./in-time.ts";

/** The group exists and nobody reads: what is published waits. */
async function paused(service: RecordedService, channel: string): Promise<void> {
  await (await service.subscribe(channel, () => {})).unsubscribe();
}

async function expires(context: CaseContext, expiredToDlq: boolean) {
  const channel = context.channel(expiredToDlq ? "kept" : "dropped");
  const service = await context.service({ agentId: context.agent(expiredToDlq ? "kept" : "dropped") });
  await paused(service, channel);
  const total = context.count(50);
  for (let n = 0; n < total; n++) await service.publish(channel, { n }, { ttlSeconds: 1 });
  const lasting = await service.publish(channel, { n: "lasting" }, { ttlSeconds: 3600 });
  await context.time.elapse(1100);

  const started: string[] = [];
  await service.subscribe(channel, ({ id }) => void started.push(id), { expiredToDlq });
  await context.until(
    () => started.length > 0 && service.port.getMetrics().expired >= total,
    "every message to expire or start",
  );

  assert.deepEqual(started, [lasting]);
  return { service, channel, total };
}

async function ttl(context: CaseContext): Promise<void> {
  const dropped = await expires(context, false);
  assert.equal(dropped.service.port.getMetrics().expired, dropped.total, "what expires is counted");
  assert.equal((await dropped.service.deadLetters([dropped.channel])).length, 0);

  const kept = await expires(context, true);
  const isComplete = async () => (await kept.service.deadLetters([kept.channel])).length === kept.total;
  await context.until(isComplete, "every dead letter");
  const letters = await kept.service.deadLetters([kept.channel]);
  assert.ok(letters.every(({ code }) => code === "EXPIRED"));
}

async function ttlInRetry(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service({
    retry: { maxAttempts: 5, backoff: { strategy: "constant", initialDelayMs: 2000 } },
  });
  let starts = 0;
  await service.subscribe(channel, () => {
    starts++;
    throw new Error("the handler fails");
  });

  await service.publish(channel, {}, { ttlSeconds: 1 });
  await context.until(async () => (await service.deadLetters([channel])).length === 1, "the dead letter");

  assert.equal(starts, 1, "a retry that is due after the message's time does not start");
  assert.equal((await service.deadLetters([channel]))[0]?.code, "EXPIRED");
}

async function urgentFirst(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service();
  await paused(service, channel);
  const low = context.count(200, 50);
  for (let n = 0; n < low; n++) await service.publish(channel, { n }, { priority: "low" });
  for (let n = 0; n < 10; n++) await service.publish(channel, { n }, { priority: "critical" });

  const order: number[] = [];
  await service.subscribe(channel, ({ metadata }) => void order.push(metadata.priority), {
    maxConcurrency: 1,
    prefetch: 5,
  });
  await context.until(() => order.length === low + 10, "every message to be handled");

  assert.deepEqual(
    order.slice(0, 10),
    Array.from({ length: 10 }, () => 10),
    "every critical message starts before a low one",
  );
}

async function delayed(context: CaseContext): Promise<void> {
  const service = await context.service();
  const { clock } = context.time;
  await inTime(context, async (unitMs) => {
    const channel = context.channel(`unit${unitMs}`);
    const order: unknown[] = [];
    let nowAt = Infinity;
    await service.subscribe(channel, ({ payload }) => {
      order.push(payload);
      if (payload === "now") nowAt = clock.monotonic();
    });

    const from = clock.monotonic();
    await service.publish(channel, "later", { delayMs: unitMs * 2 });
    await service.publish(channel, "sooner", { delayMs: unitMs });
    await service.publish(channel, "now");
    await context.until(() => order.length === 3, "three messages");

    const isInTime = nowAt - from < unitMs;
    if (isInTime) assert.deepEqual(order, ["now", "sooner", "later"]);
    return isInTime;
  });
}

/** Time and priority as handlers see them. */
export const expiryCases: readonly ConformanceCase[] = [
  {
    id: "d03-ttl",
    title:
      "an expired message never starts; it is counted, and dead-lettered as expired where that is asked for",
    needs: ["admin", "groups"] as const,
    acked: 102,
    run: ttl,
  },
  {
    id: "d04-ttl-in-retry",
    title: "a message that expires while it waits for its retry is dead-lettered as expired, not tried again",
    needs: ["admin", "nackDelay"] as const,
    acked: 1,
    run: ttlInRetry,
  },
  {
    id: "d-priority-handlers",
    title: "handlers get every critical message before a low one that waits",
    needs: ["priority", "groups"] as const,
    acked: 210,
    run: urgentFirst,
  },
  {
    id: "d-delay-handlers",
    title: "a delayed message reaches its handler when it is due",
    needs: ["delay"] as const,
    acked: 3,
    run: delayed,
  },
].map((one) => ({ group: "D", stepped: true, ...one }));
