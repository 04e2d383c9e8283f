import assert from "node:assert/strict";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";

async function duplicatePublish(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const sent = context.envelopes(channel, context.count(100));

  let recognised = 0;
  for (let time = 0; time < 3; time++) {
    const results = await context.broker.publish(sent, { dedupe: true });
    recognised += results.filter((result) => result.ok && result.deduplicated).length;
  }

  assert.equal(recognised, sent.length * 2, "the second and third publish of an id say that it was there");
  await context.drain(subscription, sent.length);
  await context.nothing(subscription);
}

async function unknownThenRetried(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const faulty = context.flaky();
  const service = await context.service({ faulty, defaultDeliveryGuarantee: "exactly-once" });
  const handled = new Set<string>();
  await service.subscribe(channel, ({ id }) => void handled.add(id));
  faulty.inject({ on: "publish", fault: "unknown", every: 10 });
  const total = context.count(1000, 100);

  for (let n = 0; n < total; n++) {
    const id = context.nextId();
    for (let answer = "TIMEOUT"; answer === "TIMEOUT";) {
      answer = await context.codeOf(service.publish(channel, { n }, { id }));
      assert.match(answer, /^(TIMEOUT|it did not reject)$/);
    }
  }

  await context.until(
    () => handled.size === total,
    () => `${total} effects; ${handled.size} were made`,
  );
}

async function twicePublishedOnceHandled(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service({ defaultDeliveryGuarantee: "exactly-once" });
  let effects = 0;
  let calls = 0;
  await service.subscribe(channel, () => {
    // The first run of all fails: a failed run is no effect.
    if (++calls === 1) throw new Error("the handler fails once");
    effects++;
  });
  const total = context.count(50);
  const ids = Array.from({ length: total }, () => context.nextId());

  for (const id of [...ids, ...ids]) await service.publish(channel, {}, { id, dedupe: false });

  await context.until(
    () => effects === total && service.port.getMetrics().duplicates >= total,
    "effects and duplicates",
  );
  await context.time.elapse(context.unitMs);
  assert.deepEqual([effects, service.port.getMetrics().duplicates], [total, total]);
}

async function windowEdge(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const windowMs = context.harness.dedupeWindowMs ?? assert.fail();
  const service = await context.service({ defaultDeliveryGuarantee: "exactly-once" });
  let effects = 0;
  await service.subscribe(channel, () => void effects++);
  const envelope = context.envelope(channel);
  const publish = async () => {
    const [result] = await context.broker.publish([envelope], { dedupe: true });
    return result?.ok === true && result.deduplicated;
  };

  assert.equal(await publish(), false);
  await context.time.elapse(windowMs * 0.9);
  assert.equal(await publish(), true, "within its window an id is recognised");
  await context.time.elapse(windowMs * 2.1);
  assert.equal(await publish(), false, "after its window an id counts as new");

  await context.until(() => service.port.getMetrics().duplicates === 1, "the inbox to recognise it");
  assert.equal(effects, 1);
}

async function inboxBounded(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const maxIds = 1000;
  const horizonMs = 60_000;
  const { clock } = context.time;
  const inbox = context.harness.createInbox?.({ clock, horizonMs, maxIds }) ?? assert.fail();
  const retry = { maxAttempts: 1000, backoff: { strategy: "constant", initialDelayMs: 5000 } } as const;
  const service = await context.service({ inbox, retry, defaultDeliveryGuarantee: "exactly-once" });
  const handled: string[] = [];
  await service.subscribe(channel, ({ id }) => void handled.push(id));
  const ids: string[] = [];
  for (let n = 0; n < maxIds; n++) ids.push(await service.publish(channel, { n }));
  await context.until(() => handled.length === maxIds, "the inbox to be full");

  // One more waits: nothing within the horizon is forgotten for it.
  const late = await service.publish(channel, { late: true });
  for (const id of ids.slice(0, 50)) await service.publish(channel, {}, { id, dedupe: false });
  await context.until(() => service.port.getMetrics().duplicates === 50, "repeats to be recognised");
  assert.equal(handled.length, maxIds);

  await context.time.elapse(horizonMs * 2);
  await context.until(() => handled.includes(late), "the one that waited to be handled", horizonMs * 3);
  assert.equal(handled.length, maxIds + 1);
}

/** Repeats that take effect once. */
export const onceCases: readonly ConformanceCase[] = [
  {
    id: "f01-dup-publish",
    title: "an id that is published three times is stored once, and two answers say so",
    needs: ["dedupe"] as const,
    acked: 100,
    run: duplicatePublish,
  },
  {
    id: "f02-unknown-retry",
    title: "a publish whose answer was lost, retried under its id, has one effect",
    acked: 1000,
    faults: 50,
    check: { guarantee: "exactly-once" } as const,
    run: unknownThenRetried,
  },
  {
    id: "f-inbox-once",
    title: "under exactly-once an id that comes twice has one effect, and a failed run none",
    needs: ["nackDelay"] as const,
    acked: 50,
    check: { guarantee: "exactly-once" } as const,
    run: twicePublishedOnceHandled,
  },
  {
    id: "f03-window-edge",
    title: "after its window an id counts as new, and the inbox still makes it one effect",
    needs: ["dedupe", "dedupeWindow", "stepped"] as const,
    acked: 1,
    check: { guarantee: "exactly-once" } as const,
    run: windowEdge,
  },
  {
    id: "f07-inbox-bounded",
    title: "a full inbox makes the next message wait and forgets no id before its horizon",
    needs: ["inbox", "stepped", "nackDelay"] as const,
    acked: 1001,
    check: { guarantee: "exactly-once" } as const,
    run: inboxBounded,
  },
].map((one) => ({ group: "F", stepped: true, ...one }));
