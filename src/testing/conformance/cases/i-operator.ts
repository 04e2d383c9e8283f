import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { CHANNEL, GROUP } from "../../process/run.ts";
import { Crew } from "../../process/crew.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import type { OperatorControl } from "../harness.ts";
import { Lateness } from "../lateness.ts";
import { inProcesses, underLoad } from "./processes.ts";

const RECOVERS_WITHIN_MS = 3000;
const NOTICED_WITHIN_MS = 5000;
/** Requesters of one process. */
const TOGETHER = 10;

function operatorOf({ harness }: CaseContext): OperatorControl {
  return harness.operator ?? assert.fail("the harness has no operator");
}

/** Writes every loss that the broker tells of a channel into the history, while `steps` run. */
async function telling(context: CaseContext, channel: string, steps: () => Promise<void>): Promise<void> {
  const hear = (event: unknown) => {
    const { channel: of, count } = event as { readonly channel: string; readonly count: number | null };
    if (of === channel) context.history.add({ type: "data-loss", count: count ?? 0 });
  };
  subscribe("herald:data-lost", hear);
  try {
    await steps();
  } finally {
    unsubscribe("herald:data-lost", hear);
  }
}

function told(context: CaseContext): number {
  return context.history.events.reduce(
    (sum, event) => sum + (event.type === "data-loss" ? event.count : 0),
    0,
  );
}

async function deleted(context: CaseContext): Promise<void> {
  const { place } = context;
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  await telling(context, channel, async () => {
    await context.publish(...context.envelopes(channel, 6));
    await context.drain(subscription, 2);
    await context.until(async () => (await context.lag(channel)) === 4, "the broker to have counted");
    // What it counted last is what it can tell.
    await context.time.elapse(NOTICED_WITHIN_MS / 4);
    context.history.add({ type: "nemesis", fault: "channel deleted" });
    await operatorOf(context).dropChannel(place, channel);
    using lateness = new Lateness(context.time);
    const deletedAt = performance.now();
    await context.publish(context.envelope(channel));
    await context.drain(subscription, 1);
    const tookMs = performance.now() - deletedAt;
    assert.ok(tookMs <= lateness.limit(RECOVERS_WITHIN_MS), `it goes on after ${Math.round(tookMs)} ms`);
    await context.until(() => told(context) > 0, "the loss to be told", NOTICED_WITHIN_MS);
  });
  await groupDeleted(context);
}

/** What the group had acknowledged comes again: nothing knows any more that it had. Not for the history's eyes. */
async function groupDeleted(context: CaseContext): Promise<void> {
  const { place, harness } = context;
  const channel = context.channel("group");
  const broker = await harness.create({ place });
  await broker.open();
  try {
    const subscription = await broker.subscribe({ pattern: channel, group: "g", prefetch: 100 });
    const sent = context.envelopes(channel, 6);
    await broker.publish(sent);
    await operatorOf(context).dropGroup(place, channel, "g");
    const last = context.envelope(channel);
    await broker.publish([last]);
    const missing = new Set([...sent, last].map(({ id }) => id));
    await context.until(async () => {
      for (const { envelope } of await subscription.receive(100, 50)) missing.delete(envelope.id);
      return missing.size === 0;
    }, "everything that the channel holds");
  } finally {
    await broker.close();
  }
}

async function trimmed(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  await telling(context, channel, async () => {
    await context.publish(...context.envelopes(channel, 10));
    context.history.add({ type: "nemesis", fault: "channel trimmed" });
    await operatorOf(context).trim(context.place, channel, 4);
    await context.until(() => told(context) > 0, "the loss to be told", NOTICED_WITHIN_MS);
    assert.equal(told(context), 6, "the loss is counted");
    await context.drain(subscription, 4);
  });
}

async function consumersForgotten(context: CaseContext): Promise<void> {
  const restarts = context.count(200, 6);
  const operator = operatorOf(context);
  await inProcesses(context, { maxAttempts: 1000, check: { minFaults: restarts } }, async (run) => {
    let next = 0;
    let dueAt = 0;
    await underLoad(context, run, {
      what: "restarts",
      isDone: () => {
        if (performance.now() > dueAt) {
          void run.consumers[next++ % run.consumers.length]?.kill();
          dueAt = performance.now() + 150;
        }
        return run.kills >= restarts;
      },
    });
    await Promise.all(run.consumers.map((slot) => slot.stands()));
    const live = run.consumers.length;
    await context.until(
      async () => (await operator.consumers(context.place, CHANNEL, GROUP)) <= live + 1,
      "the consumers of dead processes to be forgotten",
    );
  });
}

async function requestersDie(context: CaseContext): Promise<void> {
  const { harness, place, broker } = context;
  const deaths = context.count(1000, 10);
  const channel = context.channel("asked");
  const crew = new Crew({
    module: harness.child?.href ?? assert.fail(),
    place,
    emit: () => undefined,
    warm: 2,
  });
  try {
    await crew.start({ kind: "responder", agentId: context.agent("responder"), channel });
    for (let death = 0; death < deaths; death += TOGETHER) {
      const together = Math.min(TOGETHER, deaths - death);
      const agentIds = Array.from({ length: together }, (_, n) => context.agent(`requester${n}`));
      const member = await crew.start({ kind: "requester", agentIds, channel, inFlight: 5 });
      await member.next(({ type }) => type === "answered");
      await member.kill();
    }
    const last = await crew.start({
      kind: "requester",
      agentIds: [context.agent("last")],
      channel,
      inFlight: 1,
    });
    assert.ok(await last.next(({ type }) => type === "answered"), "the responder still answers");
    await last.kill();
    await context.until(async () => {
      const replies = (await broker.admin?.list())?.filter((name) => name.startsWith("reply.")) ?? [];
      return replies.length <= 1;
    }, "the reply channels of the dead to go");
  } finally {
    await crew.end();
  }
}

/** Cases of what operators and dead processes leave behind. */
export const operatorCases: readonly ConformanceCase[] = [
  {
    id: "b08-no-consumer-leak",
    group: "B",
    title: "two hundred restarts under new names leave no consumer registered",
    needs: ["operator", "xproc", "persist"],
    acked: 0,
    run: consumersForgotten,
  },
  {
    id: "e03-requester-dies",
    group: "E",
    title: "a thousand dead requesters leave no reply channel, and no responder retries for ever",
    needs: ["persist", "xproc", "admin"],
    acked: 0,
    run: requestersDie,
  },
  {
    id: "i09-object-deleted",
    group: "I",
    title: "what an operator deletes is noticed and its loss counted",
    needs: ["operator"],
    check: { durable: false },
    acked: 7,
    faults: 1,
    run: deleted,
  },
  {
    id: "i10-retention",
    group: "I",
    title: "trimming past unread messages is never silent",
    needs: ["operator"],
    check: { durable: false },
    acked: 10,
    faults: 1,
    run: trimmed,
  },
];
