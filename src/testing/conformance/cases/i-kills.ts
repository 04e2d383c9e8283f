import assert from "node:assert/strict";
import { CRASH_POINTS, type CrashPoint } from "../../process/spec.ts";
import { randomInt } from "../../random.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { Lateness } from "../lateness.ts";
import { inProcesses, underLoad } from "./processes.ts";

/** Kills clients of one kind at their own points and at moments that nobody chose, until so many are dead. */
async function killed(context: CaseContext, kind: "publisher" | "consumer", cycles: number): Promise<void> {
  const { random } = context;
  const steps = kind === "publisher" ? ["publish"] : ["handler", "settle"];
  const points = CRASH_POINTS.filter((point) => steps.includes(point.split(".")[0] as string));
  const crash = () => ({
    point: points[randomInt(random, points.length)] as CrashPoint,
    nth: 1 + randomInt(random, 30),
  });
  const result = await inProcesses(
    context,
    {
      behaviour: { throws: 0.02 },
      maxAttempts: 100,
      memberOptions: (role) => (role.kind === kind && random() < 0.7 ? { crash: crash() } : {}),
      check: { minFaults: cycles },
    },
    async (run) => {
      const slots = kind === "publisher" ? run.publishers : run.consumers;
      let byHand = 0;
      let dueAt = performance.now();
      await underLoad(context, run, {
        what: `${cycles} dead ${kind}s`,
        isDone: () => {
          // Some die by their own hand at the point they were told; the others wherever they are.
          if (performance.now() > dueAt) {
            void slots[byHand++ % slots.length]?.kill();
            dueAt = performance.now() + randomInt(random, 300);
          }
          return run.kills >= cycles;
        },
      });
    },
  );
  assert.ok(result.kills >= cycles);
}

async function deadLettersOnce(context: CaseContext): Promise<void> {
  const kills = context.count(50, 3);
  let doomed = kills;
  const { deadLetters, acked } = await inProcesses(
    context,
    {
      guarantee: "at-least-once",
      publishers: 1,
      behaviour: { throws: 1 },
      maxAttempts: 1,
      // So many consumers die with their first dead letters written, whatever they wrote them for together; then they live.
      memberOptions: ({ kind }) =>
        kind === "consumer" && doomed-- > 0 ? { crash: { point: "deadLetter.after", nth: 1 } } : {},
      check: { minFaults: kills },
    },
    (run) =>
      underLoad(context, run, { portion: 10, what: "dead consumers", isDone: () => run.kills >= kills }),
  );
  assert.equal(deadLetters, acked, "every message is one dead letter");
}

async function poison(context: CaseContext): Promise<void> {
  const { deadLetters, acked, verdict } = await inProcesses(
    context,
    {
      publishers: 1,
      maxAttempts: 3,
      poisonEvery: 100,
      // Long enough to be in work still when the last one, which is the poison, starts beside them.
      behaviour: { slow: 1, slowMs: 300 },
      check: { minAcked: 100, minFaults: 3 },
    },
    async (run) => {
      run.grant(100);
    },
  );
  assert.deepEqual([deadLetters, verdict.tally.handled, acked], [1, 99, 100]);
}

async function delayedRestart(context: CaseContext): Promise<void> {
  const total = context.count(1000, 60);
  await inProcesses(
    context,
    { publishers: 1, delayUpToMs: 2000, check: { minAcked: total } },
    async (run) => {
      run.grant(total);
      await context.until(() => run.progress.acked === total, "every delayed publish", 20_000);
      for (const slot of run.slots) await slot.kill();
      const { server } = context.harness;
      if (server === undefined) return;
      await server.kill();
      run.struck("kill server");
      await server.start();
    },
  );
}

async function zombies(context: CaseContext): Promise<void> {
  const leaseMs = await leaseOf(context);
  await inProcesses(
    context,
    { behaviour: { slow: 0.5, slowMs: 20 }, maxAttempts: 100, check: { minFaults: 3 } },
    async (run) => {
      for (let round = 0; round < 3; round++) {
        const { acked } = run.progress;
        run.grant(50);
        await context.until(() => run.progress.acked > acked + 10, "load");
        const member = run.consumers[round % run.consumers.length]?.member;
        member?.child.signal("SIGSTOP");
        run.struck("consumer held past its lease");
        await context.time.elapse(leaseMs * 1.6);
        member?.child.signal("SIGCONT");
      }
    },
  );
}

/** How long the broker of the case lends a delivery. */
async function leaseOf(context: CaseContext): Promise<number> {
  const channel = context.channel("lease");
  const subscription = await context.subscribe(channel);
  await context.publish(context.envelope(channel));
  const [delivery] = await context.take(subscription, 1);
  await context.ack(subscription, delivery === undefined ? [] : [delivery]);
  await subscription.close();
  return delivery?.leaseMs ?? assert.fail("a delivery without a lease");
}

async function terminated(context: CaseContext): Promise<void> {
  const stops = context.count(50, 4);
  await inProcesses(
    context,
    { maxAttempts: 100, behaviour: { slow: 0.3, slowMs: 30 }, check: { minFaults: stops } },
    async (run) => {
      for (let stop = 0; stop < stops; stop++) {
        const slot = run.slots[stop % run.slots.length] ?? assert.fail();
        await slot.stands();
        const { starts } = run.progress;
        run.grant(30);
        await context.until(() => run.progress.starts > starts, "load");
        run.struck("SIGTERM");
        using lateness = new Lateness(context.time);
        const askedAt = performance.now();
        const end = await slot.member?.stop();
        if (end === undefined) continue;
        assert.deepEqual(end, { code: 0, signal: null });
        const tookMs = performance.now() - askedAt;
        assert.ok(tookMs <= lateness.limit(6000), "a stop ends within its grace of 5 s and a second");
      }
    },
  );
}

/** Cases that kill, hold and stop the processes of a broker. */
export const killCases: readonly ConformanceCase[] = [
  {
    id: "c07-dlq-atomic",
    group: "C",
    title: "a kill between writing a dead letter and acknowledging leaves one dead letter",
    needs: ["persist", "xproc", "admin", "exactAttempts"],
    acked: 0,
    run: deadLettersOnce,
  },
  {
    id: "c10-poison-crash",
    group: "C",
    title:
      "a message that kills its process ends in the dead letters, and those that it takes along are handled",
    needs: ["persist", "xproc", "admin", "exactAttempts"],
    acked: 0,
    run: poison,
  },
  {
    id: "d05-delay-restart",
    group: "D",
    title: "delayed messages survive a restart",
    needs: ["persist", "xproc", "delay"],
    acked: 0,
    run: delayedRestart,
  },
  {
    id: "f06-zombie",
    group: "F",
    title: "a held consumer that wakes after its lease commits nothing",
    needs: ["lease", "xproc"],
    acked: 0,
    run: zombies,
  },
  {
    id: "h02-sigterm-load",
    group: "H",
    title: "fifty terminations under load end in time and lose nothing",
    needs: ["persist", "xproc"],
    acked: 0,
    run: terminated,
  },
  {
    id: "i01-publisher-kill9",
    group: "I",
    title: "killed publishers lose nothing acknowledged and invent nothing",
    needs: ["persist", "xproc"],
    acked: 0,
    run: (context) => killed(context, "publisher", context.count(100, 4)),
  },
  {
    id: "i02-consumer-kill9",
    group: "I",
    title: "killed consumers lose nothing, and effects take place once",
    needs: ["persist", "xproc"],
    acked: 0,
    run: (context) => killed(context, "consumer", context.count(100, 4)),
  },
];
