import type { ChildProcess } from "node:child_process";
import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { MessagingService } from "../../src/service/service.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { brokerAt } from "../support/child-effects.ts";
import { HOPS, type Travelling } from "../support/child-pipeline.ts";
import type { ChildPlace } from "../support/child-stores.ts";
import { scratchFolder } from "../support/file-store.ts";
import { afterReady, runChild } from "../support/killed.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";

/** More by hand: HERALD_PIPELINE_MESSAGES=100000 vitest run test/effects/pipeline-killed.test.ts */
const MESSAGES = Number(process.env["HERALD_PIPELINE_MESSAGES"] ?? 1000);
const WITHIN_MS = 300_000 + 20 * MESSAGES;
/** Messages that come before each pair of kills. */
const CHUNK = 250;
const program = "child-pipeline.ts";

let server: TestServer;
const ending: (() => unknown)[] = [];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end();
});

const PLACES: Record<string, () => ChildPlace> = {
  file: () => {
    const directory = scratchFolder("pipeline");
    ending.push(() => rmSync(directory, { recursive: true, force: true }));
    return { directory };
  },
  redis: () => ({ url: server.url, namespace: newPlace() }),
};

it.each(Object.keys(PLACES))(
  "on %s a pipeline of three hops whose processes are killed gives out what came in, each effect once",
  async (name) => {
    const place = (PLACES[name] as () => ChildPlace)();
    const broker = brokerAt(place);
    const service = new MessagingService({ agentId: "ends", broker });
    ending.push(() => service.stop());
    await service.start();
    for (const { from } of HOPS) await service.broker.ensureGroup(from, "hops");
    const out = new Map<number, number[]>();
    await service.subscribe<Travelling>("out", ({ payload: { n, value } }) => {
      out.set(n, [...(out.get(n) ?? []), value]);
    });
    const order = { place };
    let kills = 0;
    for (let from = 0; from < MESSAGES; from += CHUNK) {
      const chunk = Array.from({ length: Math.min(CHUNK, MESSAGES - from) }, (_none, at) => from + at);
      const inputs = chunk.map((n) => ({
        channel: "in",
        payload: { n, value: n * 7 },
        options: { id: `in-${n}` },
      }));
      expect((await service.publishBatch(inputs)).every(({ ok }) => ok)).toBe(true);
      const pair = [0, 1].map(() => runChild(order, afterReady(20 + Math.random() * 300), { program }));
      for (const { signal, stderr } of await Promise.all(pair)) {
        expect([signal, stderr]).toEqual(["SIGKILL", ""]);
        kills++;
      }
    }
    let last: ChildProcess | undefined;
    const finishing = runChild(order, undefined, { program, onStart: (child) => void (last = child) });
    ending.push(() => (last?.kill("SIGKILL"), finishing));
    await expect.poll(() => out.size, { timeout: WITHIN_MS }).toBe(MESSAGES);
    for (const { from } of HOPS)
      await expect
        .poll(() => service.getConsumerLag({ channel: from, group: "hops" }))
        .toMatchObject([{ lag: 0 }]);
    await expect
      .poll(() => service.getConsumerLag({ channel: "out", group: "ends" }))
      .toMatchObject([{ lag: 0 }]);

    expect(kills).toBe(2 * Math.ceil(MESSAGES / CHUNK));
    for (let n = 0; n < MESSAGES; n++) {
      const expected = HOPS.reduce((value, { change }) => change(value), n * 7);
      if (out.get(n)?.join() !== String(expected)) expect([n, out.get(n)]).toEqual([n, [expected]]);
    }
    const { values } = service.createStores();
    const counted = await values.keys("effects");
    expect(counted).toHaveLength(HOPS.length * MESSAGES);
    for (const key of counted.filter((_key, at) => at % Math.ceil(MESSAGES / 500) === 0))
      expect([key, (await values.get("effects", key))?.value]).toEqual([key, "1"]);
  },
  WITHIN_MS,
);
