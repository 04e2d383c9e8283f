import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startHub, type Hub } from "../../../test/support/hub/server.ts";
import { BrokerWrapper } from "../../core/broker-wrapper.ts";
import { randomInt, seededRandom } from "../random.ts";
import { ProcessRun, type RunOptions } from "./run.ts";
import { CRASH_POINTS, type CrashPoint } from "./spec.ts";

let hub: Hub;
let run: ProcessRun | undefined;

beforeEach(async () => {
  hub = await startHub();
});

afterEach(async () => {
  await run?.close();
  await hub[Symbol.asyncDispose]();
});

/** Enough that every point is likely to be among them; after these the processes live, and the test ends. */
const KILLS = 16;

const options = ({ child, own }: Hub): RunOptions => ({
  module: child,
  own,
  place: "run",
  guarantee: "exactly-once",
  publishers: 2,
  consumers: 2,
});

describe("a run of processes", () => {
  it("loses nothing and doubles no effect while its processes die at every point", async () => {
    const random = seededRandom(7);
    const points = { publisher: "publish", consumer: "publish handler settle" } as Record<string, string>;
    run = await ProcessRun.start({
      ...options(hub),
      behaviour: { throws: 0.05 },
      check: { minAcked: 1000, minFaults: KILLS },
      memberOptions: ({ kind }) => {
        if (run !== undefined && run.kills >= KILLS) return {};
        const fit = CRASH_POINTS.filter((point) => points[kind]?.includes(point.split(".")[0] as string));
        return {
          crash: { point: fit[randomInt(random, fit.length)] as CrashPoint, nth: 1 + randomInt(random, 30) },
        };
      },
    });
    run.grant(1000);
    while (run.kills < KILLS) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (run.progress.open === 0) run.grant(200);
    }
    await run.drain();
    const result = await run.finish();
    expect(result.failures).toEqual([]);
    expect(result.verdict.findings).toEqual([]);
    expect(result.verdict.ok).toBe(true);
    expect(result.kills).toBeGreaterThanOrEqual(KILLS);
  });

  it("puts what kills every process that touches it into the dead letters, and handles the rest", async () => {
    run = await ProcessRun.start({
      ...options(hub),
      publishers: 1,
      maxAttempts: 3,
      poisonEvery: 100,
      maxConcurrency: 1,
      prefetch: 1,
      check: { minAcked: 200 },
    });
    run.grant(200);
    await run.drain();
    const result = await run.finish();
    expect(result.verdict.findings).toEqual([]);
    expect(result.deadLetters).toBe(2);
    expect(result.kills).toBeGreaterThanOrEqual(6);
  });

  it("finds a broker that acknowledges what it forgets", async () => {
    await using lossy = await startHub((broker) => new Forgetful(broker));
    run = await ProcessRun.start({ ...options(lossy), publishers: 1 });
    run.grant(1000);
    await run.drain(1500);
    const { verdict } = await run.finish();
    expect(verdict.ok).toBe(false);
    expect(verdict.findings.map(({ anomaly }) => anomaly)).toContain("lost-middle");
  });
});

class Forgetful extends BrokerWrapper {
  #count = 0;

  override async publish(...[envelopes, options]: Parameters<BrokerWrapper["publish"]>) {
    const kept = envelopes.filter(({ channel }) => channel !== "run.work" || ++this.#count % 100 !== 50);
    await this.inner.publish(kept, options);
    return envelopes.map(() => ({ ok: true, position: null, deduplicated: false, matched: null }) as const);
  }
}
