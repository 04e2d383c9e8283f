import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { FakeClock } from "../../fake-clock.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { Lateness } from "../lateness.ts";

async function stopping(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const agentId = context.agent();
  const service = await context.service({ agentId });
  const aborted: boolean[] = [];
  await service.subscribe(channel, async ({ payload }, { signal }) => {
    if (payload !== "hangs") return;
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    aborted.push(true);
  });
  await service.publish(channel, "hangs");
  await context.until(
    () => context.history.events.some(({ type }) => type === "start"),
    "the handler to start",
  );
  const publishing = Array.from({ length: 20 }, (_none, n) =>
    service.publish(channel, n).catch((error: unknown) => error),
  );
  const { clock } = context.time;
  using lateness = new Lateness(context.time);
  const before = clock.monotonic();

  await context.time.drive(
    Promise.all([
      service.port.stop({ gracePeriodMs: context.unitMs }),
      service.port.stop({ gracePeriodMs: context.unitMs }),
    ]),
  );

  const tookMs = clock.monotonic() - before;
  assert.ok(tookMs <= context.unitMs + lateness.limit(500), `a stop with grace took ${tookMs} ms`);
  await context.time.drive(Promise.all(publishing));
  await context.time.drive(Promise.resolve(service.port.stop()));
  assert.equal(await context.codeOf(service.port.publish(channel, {})), "CLOSED");
  await context.until(() => aborted.length === 1, "the hanging handler to be told");
  if (clock instanceof FakeClock && !context.has("server")) {
    await context.broker.close();
    assert.equal(clock.pending, 0, "what has stopped holds no timer");
  }
}

async function handedOver(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const agentId = context.agent();
  const first = await context.service({ agentId });
  let started = 0;
  await first.subscribe(channel, ({ payload }, { signal }) => {
    started++;
    if ((payload as number) % 2 === 0) return undefined;
    return new Promise<void>((_resolve, reject) =>
      signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true }),
    );
  });
  const total = context.count(100);
  for (let n = 0; n < total; n++) await first.publish(channel, n);
  await context.until(() => started >= 10, "handlers to hang");
  await context.time.drive(Promise.resolve(first.port.stop({ gracePeriodMs: context.unitMs })));

  const second = await context.service({ agentId });
  const attempts: number[] = [];
  await second.subscribe(channel, (_message, { attempt }) => void attempts.push(attempt));
  const handled = () => context.history.events.filter(({ type }) => type === "commit.ok").length;
  await context.until(
    () => handled() >= total,
    () => `${total} messages to be handled; ${handled()} were`,
  );

  assert.ok(attempts.length > 0);
  if (context.has("exactAttempts"))
    assert.ok(
      attempts.every((attempt) => attempt === 1),
      "what a stop gives back is not counted as an attempt",
    );
}

async function aborting(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service();
  const controller = new AbortController();
  let handled = 0;
  const options = { signal: controller.signal, maxConcurrency: 2, prefetch: 10 };
  const subscription = await service.subscribe(
    channel,
    async () => {
      await turn();
      handled++;
    },
    options,
  );
  const total = context.count(200, 50);
  const publishing = Promise.all(Array.from({ length: total }, (_none, n) => service.publish(channel, n)));
  await context.until(() => handled > 5, "some messages to be handled");

  controller.abort();
  await context.time.drive(subscription.unsubscribe());
  const whenAborted = handled;
  await publishing;
  await context.time.elapse(context.unitMs);
  assert.equal(handled, whenAborted, "no handler starts once the abort is done");
  assert.equal(await context.codeOf(service.port.subscribe(channel, () => {}, options)), "CANCELLED");

  await service.subscribe(channel, () => void handled++);
  await context.until(
    () => handled === total,
    () => `${total} messages to be handled; ${handled} were`,
  );
}

function liveHeapBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

async function soak(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service({
    retry: { maxAttempts: 5, backoff: { strategy: "constant", initialDelayMs: 1 } },
  });
  let handled = 0;
  let calls = 0;
  // What is not recorded leaves nothing behind but what leaks.
  await service.port.subscribe(channel, () => {
    if (++calls % 100 === 0) throw new Error("one in a hundred fails");
    handled++;
  });
  const round = context.count(10_000, 500);
  const heap: number[] = [];
  for (let n = 1; n <= 6; n++) {
    for (let sent = 0; sent < round; sent += 100) {
      await Promise.all(Array.from({ length: 100 }, (_none, at) => service.port.publish(channel, { at })));
    }
    await context.until(
      () => handled >= round * n,
      () => `${round * n} messages to be handled; ${handled} were`,
      60_000,
    );
    heap.push(liveHeapBytes());
  }

  // The first round fills caches and compiles; from the second on nothing may stay.
  const grownBytes = (heap.at(-1) ?? 0) - (heap[1] ?? 0);
  assert.ok(grownBytes < 4 * 2 ** 20, `the heap grew by ${grownBytes} bytes over ${round * 4} messages`);
  const visible = context.channel("visible");
  await service.subscribe(visible, () => {});
  const recorded = context.count(100);
  for (let n = 0; n < recorded; n++) await service.publish(visible, n);
  await context.until(() => service.port.getMetrics().handled >= round * 6 + recorded, "the last messages");
}

/** Services that stop, abort and run for long. */
export const serviceCases: readonly ConformanceCase[] = [
  {
    id: "h01-close-idempotent",
    group: "H",
    title:
      "a stop amid publishes and a hanging handler, called twice, ends within its grace and leaves no timer",
    stepped: true,
    check: { complete: false },
    acked: 1,
    run: stopping,
  },
  {
    id: "h-handed-over",
    group: "H",
    title: "what a stopping service had not finished is handled by the next, not as another attempt",
    needs: ["groups"],
    stepped: true,
    acked: 100,
    run: handedOver,
  },
  {
    id: "h03-subscribe-abort",
    group: "H",
    title: "after an abort no handler starts, and nothing is lost for the next subscriber",
    needs: ["groups"],
    acked: 200,
    run: aborting,
  },
  {
    id: "h04-soak",
    group: "H",
    title: "sixty thousand messages with failures among them leave the heap as it was",
    needs: ["nackDelay"],
    longLeases: true,
    acked: 100,
    timeoutMs: 120_000,
    run: soak,
  },
];
