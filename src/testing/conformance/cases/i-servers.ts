import assert from "node:assert/strict";
import type { Broker } from "../../../core/broker.ts";
import { FaultProxy, type Weather } from "../../fault-proxy.ts";
import type { ProcessRun } from "../../process/run.ts";
import { shuffled } from "../../random.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { Lateness } from "../lateness.ts";
import { inProcesses, serverOf, underLoad } from "./processes.ts";

// A second is what is promised; a machine that starts processes beside it is given more.
const RETURNS_WITHIN_MS = 3000;

async function serverKilled(context: CaseContext): Promise<void> {
  const server = serverOf(context);
  const cycles = context.count(50, 3);
  const backAfterMs: number[] = [];
  using lateness = new Lateness(context.time);
  await inProcesses(context, { maxAttempts: 100, check: { minFaults: cycles } }, async (run) => {
    for (let cycle = 0; cycle < cycles; cycle++) {
      await moves(context, run);
      run.struck("kill server");
      await server.kill();
      await server.start();
      const startedAt = performance.now();
      await moves(context, run);
      backAfterMs.push(performance.now() - startedAt);
    }
  });
  const median = backAfterMs.toSorted((a, b) => a - b)[backAfterMs.length >> 1] ?? Infinity;
  assert.ok(
    median <= lateness.limit(RETURNS_WITHIN_MS),
    `clients are back ${Math.round(median)} ms after the server`,
  );
}

/** Resolves once something more was acknowledged and something more has ended. */
async function moves(context: CaseContext, run: ProcessRun): Promise<void> {
  const { acked, ended } = run.progress;
  await underLoad(context, run, {
    what: "the load to go on",
    isDone: () => run.progress.acked > acked && run.progress.ended > ended,
  });
}

/** Publishes wait as long as nobody answers. */
const PUBLISH_TIMEOUT_MS = 60_000;

async function network(context: CaseContext): Promise<void> {
  const server = serverOf(context);
  await using proxy = await FaultProxy.before(server, context.random);
  const during = (weather: Weather, ms: number) => async () => {
    proxy.set(weather);
    await context.time.elapse(ms);
    proxy.set({});
  };
  const faults: readonly (readonly [string, () => Promise<void>])[] = [
    ["reset", async () => proxy.reset()],
    ["reset in a reply", async () => proxy.resetAfter(200)],
    ["half-open", during({ frozen: "both" }, 800)],
    ["one way only", during({ frozen: "toClient" }, 600)],
    ["latency", during({ latencyMs: 100, jitterMs: 50 }, 800)],
    ["one byte at a time", during({ sliced: true }, 200)],
    ["bandwidth", during({ bytesPerSecond: 16_000 }, 500)],
    [
      "down",
      () =>
        proxy
          .down()
          .then(() => context.time.elapse(300))
          .then(() => proxy.up()),
    ],
  ];
  const rounds = Math.max(1, Math.round(context.count(100, 10) / 20));
  await inProcesses(
    context,
    {
      address: proxy.address,
      maxAttempts: 100,
      check: { minFaults: faults.length * rounds, publishTimeoutMs: PUBLISH_TIMEOUT_MS },
    },
    async (run) => {
      for (let round = 0; round < rounds; round++) {
        for (const [name, strike] of shuffled(context.random, faults)) {
          run.grant(20);
          run.struck(name);
          await strike();
          await moves(context, run);
        }
      }
    },
  );
}

async function paused(context: CaseContext): Promise<void> {
  const server = serverOf(context);
  await inProcesses(
    context,
    { maxAttempts: 100, check: { minFaults: 3, publishTimeoutMs: PUBLISH_TIMEOUT_MS } },
    async (run) => {
      for (const ms of [500, 1500, 3000]) {
        await moves(context, run);
        run.grant(50);
        run.struck(`server held for ${ms} ms`);
        await server.pause();
        await context.time.elapse(ms);
        await server.resume();
      }
      await moves(context, run);
    },
  );
}

const OUTAGE_MS = 4000;
// A broker may keep four connections, and look for each twice a second.
const ATTEMPTS_A_SECOND = 8;

async function storm(context: CaseContext): Promise<void> {
  const server = serverOf(context);
  await using proxy = await FaultProxy.before(server, context.random);
  const { harness, place } = context;
  const brokers = await Promise.all(
    Array.from({ length: context.count(200, 20) }, async () => {
      const broker = await harness.create({ place, address: proxy.address });
      await broker.open();
      return broker;
    }),
  );
  try {
    context.history.add({ type: "nemesis", fault: "everybody cut off" });
    proxy.set({ refuses: true });
    proxy.reset();
    await context.time.elapse(OUTAGE_MS / 2);
    const before = proxy.accepted;
    await context.time.elapse(OUTAGE_MS / 2);
    const perSecond = ((proxy.accepted - before) / (OUTAGE_MS / 2)) * 1000;
    assert.ok(
      perSecond <= brokers.length * ATTEMPTS_A_SECOND,
      `${brokers.length} brokers knock ${Math.round(perSecond)} times a second`,
    );
    assert.ok(proxy.accepted > before, "nobody tries to come back");
    proxy.set({});
    using lateness = new Lateness(context.time);
    const startedAt = performance.now();
    await Promise.all(brokers.map((broker) => isBack(context, broker)));
    const tookMs = performance.now() - startedAt;
    assert.ok(tookMs <= lateness.limit(10_000), `everybody is back after ${Math.round(tookMs)} ms`);
  } finally {
    await Promise.all(brokers.map((broker) => broker.close()));
  }
}

async function isBack(context: CaseContext, broker: Broker): Promise<void> {
  const envelope = context.envelope(context.channel("back"));
  await context.until(
    async () => {
      try {
        const [result] = await broker.publish([envelope]);
        return result?.ok === true;
      } catch {
        return false;
      }
    },
    "a broker to come back",
    20_000,
  );
}

/** Cases that hurt a server and the way to it. */
export const serverCases: readonly ConformanceCase[] = [
  {
    id: "i03-server-kill9",
    group: "I",
    title: "a killed server keeps what its durability promises, and clients return within a second",
    needs: ["server", "persist", "xproc"],
    acked: 0,
    run: serverKilled,
  },
  {
    id: "i04-network",
    group: "I",
    title: "resets, half-open links and delays lose nothing",
    needs: ["server", "persist", "xproc"],
    acked: 0,
    timeoutMs: 180_000,
    run: network,
  },
  {
    id: "i05-pause",
    group: "I",
    title: "a paused server hangs no publish and doubles no effect",
    needs: ["server", "persist", "xproc"],
    acked: 0,
    run: paused,
  },
  {
    id: "i11-reconnect-storm",
    group: "I",
    title: "two hundred clients return within ten seconds without a storm",
    needs: ["server"],
    acked: 0,
    faults: 1,
    run: storm,
  },
];
