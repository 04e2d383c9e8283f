import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { RejectError } from "../../../core/errors.ts";
import { randomInt } from "../../random.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import type { FlakyBroker } from "../../flaky-broker.ts";
import type { PrimaryControl } from "../harness.ts";
import type { RecordedService } from "../recorded-service.ts";
import { Lateness } from "../lateness.ts";
import { FailoverLoad } from "./failover-load.ts";
import { inProcesses } from "./processes.ts";

function primaryOf(context: CaseContext): PrimaryControl {
  return context.harness.primary ?? assert.fail("the harness has no primary");
}

function strike(context: CaseContext, fault: string): void {
  context.history.add({ type: "nemesis", fault });
}

/** An exactly-once service over one of the place's brokers. */
async function once(
  context: CaseContext,
  kind: "plain" | "journal" | "cutOff" | "neighbour",
  agentId: string,
): Promise<RecordedService> {
  const { bare } = await context.failover(kind);
  return onceOver(context, bare, agentId);
}

function onceOver(context: CaseContext, faulty: FlakyBroker, agentId: string): Promise<RecordedService> {
  return context.service({ faulty, agentId, defaultDeliveryGuarantee: "exactly-once" });
}

async function down(context: CaseContext): Promise<void> {
  const primary = primaryOf(context);
  const service = await once(context, "plain", context.agent());
  const load = new FailoverLoad(context, [service]);
  await load.consume(service);
  const third = context.count(1000, 100);
  await load.publish(third);
  await load.untilHandled();

  const dying = load.publish(third);
  await context.until(() => load.published > third + third / 4, "the load to run");
  strike(context, "kill primary");
  using lateness = new Lateness(context.time);
  const from = load.latencies.length;
  await primary.kill();
  await dying;
  await load.publish(third);

  // What the primary took with it may wait for its return; what was published since must not.
  await load.untilHandled(third);
  const p99 = load.latencies.slice(from).toSorted((a, b) => a - b)[
    Math.ceil((load.latencies.length - from) * 0.99) - 1
  ];
  assert.ok((p99 ?? Infinity) <= lateness.limit(250), `p99 of a publish after the kill is ${p99} ms`);
  await primary.start();
  context.history.add({ type: "heal" });
  await load.untilHandled();
}

async function up(context: CaseContext): Promise<void> {
  const primary = primaryOf(context);
  const near = await context.failover("plain");
  const far = await context.failover("neighbour");
  const channel = context.channel();
  const each = context.count(500, 100);
  const total = each * 3;
  const groups = [
    {
      name: "near",
      subscription: await near.broker.subscribe({ pattern: channel, group: "near", prefetch: 100 }),
    },
    {
      name: "far",
      subscription: await far.broker.subscribe({ pattern: channel, group: "far", prefetch: 100 }),
    },
  ].map((group) => ({ ...group, ids: [] as string[] }));
  let isOver = false;
  const consuming = groups.map(async ({ subscription, ids }) => {
    while (!isOver) {
      const deliveries = await subscription.receive(100, 50);
      await context.ack(subscription, deliveries);
      ids.push(...deliveries.map(({ envelope }) => envelope.id));
    }
  });
  const publish = async () => {
    for (let n = 0; n < each; n++) {
      const [result] = await near.broker.publish([context.envelope(channel, { key: `k${n % 10}` })]);
      if (result?.ok !== true) throw result?.error ?? new Error("no result");
    }
  };
  const have = (count: number) => groups.every(({ ids }) => new Set(ids).size >= count);

  await publish();
  await context.until(() => have(each), "the first third");
  strike(context, "kill primary");
  await primary.kill();
  // Without a lease a settlement is not answered for: what the primary had not written down when it died comes again.
  const from = context.has("lease") ? 0 : each;
  await publish();
  await primary.start();
  context.history.add({ type: "heal" });
  await publish();

  const patience = Math.max(context.time.patienceMs, 20_000);
  await context.until(
    () => have(total),
    () => groups.map(({ name, ids }) => `${name} ${new Set(ids).size} of ${total}`).join(", "),
    patience,
  );
  await context.until(
    async () => (await near.control.counts()).undrained === 0,
    "the fallback to be drained",
  );
  isOver = true;
  await Promise.all(consuming);
  for (const { name, ids } of groups) {
    assert.equal(new Set(ids).size, total, `${name} got what was not published`);
    assert.equal(new Set(ids.slice(from)).size, ids.length - from, `${name} got an id twice`);
  }
}

async function flap(context: CaseContext): Promise<void> {
  const primary = primaryOf(context);
  const sides = [await context.failover("plain"), await context.failover("plain")];
  const services: RecordedService[] = [];
  for (const { bare } of sides) services.push(await onceOver(context, bare, context.agent()));
  const load = new FailoverLoad(context, services);
  for (const service of services) {
    await load.consume(service, {
      // One in fifty is given up on: it must lie in one place only.
      before: ({ id }) => {
        if (Number(id.slice(id.lastIndexOf("-") + 1)) % 50 === 7)
          throw new RejectError("It is never wanted.");
      },
    });
  }
  const toggles = context.count(300, 20);
  const publishing: Promise<void>[] = [];
  for (let n = 0; n < toggles; n++) {
    publishing.push(load.publish(16));
    await context.time.elapse(5 + randomInt(context.random, 60));
    strike(context, n % 2 === 0 ? "kill primary" : "start primary");
    await (n % 2 === 0 ? primary.kill() : primary.start());
  }
  if (toggles % 2 === 1) await primary.start();
  context.history.add({ type: "heal" });
  await Promise.all(publishing);
  await load.untilHandled();
  // What the primary holds can be looked at once it has been found well.
  await context.until(() => canLook(services), "the dead letters to be readable");
  // A dead letter that is handed over is on its way from one side to the other.
  const drained = async () => {
    const counts = await Promise.all(sides.map(({ control }) => control.counts()));
    return counts.every(({ undrained }) => undrained === 0);
  };
  await context.until(drained, "the fallback to be drained");
}

async function canLook(services: readonly RecordedService[]): Promise<boolean> {
  const looks = services.map(({ port }) => port.deadLetters.list({}, { limit: 1 }));
  return (await Promise.allSettled(looks)).every(({ status }) => status === "fulfilled");
}

async function splitView(context: CaseContext): Promise<void> {
  const agentId = context.agent();
  const together = await once(context, "plain", agentId);
  const alone = await once(context, "cutOff", agentId);
  strike(context, "cut one process off");
  const load = new FailoverLoad(context, [together, alone]);
  await load.consume(together);
  await load.consume(alone);

  await load.publish(context.count(2000, 200));

  context.history.add({ type: "heal" });
  await load.untilHandled();
}

/** Resolves once a loss was told. */
function lossTold(): { readonly told: () => boolean; readonly stop: () => void } {
  let isTold = false;
  const listener = () => void (isTold = true);
  subscribe("herald:data-lost", listener);
  return { told: () => isTold, stop: () => unsubscribe("herald:data-lost", listener) };
}

async function backEmpty(context: CaseContext): Promise<void> {
  const primary = primaryOf(context);
  const service = await once(context, "journal", context.agent());
  const loss = lossTold();
  const load = new FailoverLoad(context, [service]);
  const gate = Promise.withResolvers<void>();
  let open = false;
  await load.consume(service, { before: () => (open ? undefined : gate.promise) });
  await load.publish(context.count(500, 50));

  strike(context, "empty primary");
  await primary.empty();
  await context.until(() => loss.told(), "the loss to be told");
  loss.stop();
  open = true;
  gate.resolve();
  await load.publish(context.count(500, 50));

  context.history.add({ type: "heal" });
  await load.untilHandled();
}

async function backOld(context: CaseContext): Promise<void> {
  const primary = primaryOf(context);
  const service = await once(context, "journal", context.agent());
  const load = new FailoverLoad(context, [service]);
  await load.consume(service);
  const each = context.count(300, 30);
  await load.publish(each);
  const restore = await primary.copy();
  await load.publish(each);
  await load.untilHandled();
  const late = load.publish(each);
  await context.until(() => load.published > each * 2, "the load to run");

  strike(context, "restore primary");
  await primary.kill();
  await restore();
  await primary.start();
  await late;
  await load.publish(each);

  context.history.add({ type: "heal" });
  await load.untilHandled();
}

/** Processes that hand back are killed while they do; the run has a checker of its own. */
async function killDuringDrain(context: CaseContext): Promise<void> {
  const primary = primaryOf(context);
  const each = context.count(1000, 200);
  try {
    await inProcesses(context, { check: { minAcked: 100, minFaults: 2 } }, async (run) => {
      for (let round = 0; round < 3; round++) {
        run.struck("kill primary");
        await primary.kill();
        const { acked } = run.progress;
        run.grant(each);
        await context.until(
          () => run.progress.acked >= acked + each / 2,
          "traffic without the primary",
          30_000,
        );
        await primary.start();
        for (let kill = 0; kill < 3; kill++) {
          await context.time.elapse(randomInt(context.random, 120));
          await run.slots[randomInt(context.random, run.slots.length)]?.kill();
        }
      }
    });
  } finally {
    await primary.start();
  }
}

async function byHand(context: CaseContext): Promise<void> {
  const { bare, control } = await context.failover("plain");
  const service = await context.service({ faulty: bare, defaultDeliveryGuarantee: "exactly-once" });
  const load = new FailoverLoad(context, [service]);
  await load.consume(service);
  const each = context.count(1000, 100);
  for (const mode of ["isolated", "distributed"] as const) {
    const running = load.publish(each);
    const counts = await control.counts();
    assert.ok(Number.isInteger(counts.undrained), "a dry run says what a switch would move");
    strike(context, `switch to ${mode}`);
    await context.until(async () => {
      await control.switchTo(mode).catch((error: unknown) => {
        if ((error as { code?: string }).code !== "CONFLICT") throw error;
      });
      return control.mode === mode;
    }, `the mode to be ${mode}`);
    await running;
    assert.equal(control.mode, mode, "a switch by hand stays");
    await load.publish(each);
  }

  context.history.add({ type: "heal" });
  await load.untilHandled();
  await context.until(async () => (await control.counts()).undrained === 0, "the fallback to be drained");
}

const EXACT = { guarantee: "exactly-once", order: "none", redelivery: "free", attempts: "growing" } as const;

/** Failover. */
export const failoverCases: readonly ConformanceCase[] = [
  {
    id: "j01-down",
    title: "the primary dies under load and traffic goes on",
    acked: 2000,
    faults: 1,
    check: EXACT,
    run: down,
  },
  {
    id: "j02-up",
    title: "the primary returns and gets what was written meanwhile, once, in order",
    acked: 1000,
    faults: 1,
    // That nothing comes again is held by the case itself.
    check: { order: "relaxed", redelivery: "free", attempts: "growing", settlements: "late" } as const,
    run: up,
  },
  {
    id: "j03-flap",
    title: "three hundred switches lose nothing and double nothing",
    acked: 1000,
    faults: 20,
    check: EXACT,
    // A server may take seconds to start, at every second switch.
    timeoutMs: 300_000,
    run: flap,
  },
  {
    id: "j04-split-view",
    title: "one process cut off from the primary loses nothing",
    acked: 2000,
    faults: 1,
    check: EXACT,
    run: splitView,
  },
  {
    id: "j05-redis-back-empty",
    title: "a primary that returns empty is noticed and refilled",
    acked: 500,
    faults: 1,
    check: EXACT,
    run: backEmpty,
  },
  {
    id: "j06-redis-back-old",
    title: "a primary that returns with old data doubles no effect",
    acked: 900,
    faults: 1,
    check: EXACT,
    run: backOld,
  },
  {
    id: "j07-kill9-during-drain",
    title: "a kill at any step of handing back keeps every id once",
    needs: ["failover", "xproc"] as const,
    acked: 0,
    timeoutMs: 120_000,
    run: killDuringDrain,
  },
  {
    id: "j08-manual-switch",
    title: "a switch by hand under load loses nothing",
    acked: 2000,
    faults: 2,
    check: EXACT,
    run: byHand,
  },
].map((one) => ({
  group: "J",
  needs: ["failover"] as const,
  ...one,
  run: async (context: CaseContext) => {
    try {
      await one.run(context);
    } finally {
      // The next case finds it as this one did.
      await primaryOf(context).start();
    }
  },
}));
