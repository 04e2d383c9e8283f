import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { MessagingService } from "../../src/service/service.ts";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { brokerAt } from "../support/child-effects.ts";
import { HOPS } from "../support/child-pipeline.ts";
import type { ChildPlace } from "../support/child-stores.ts";
import { scratchFolder } from "../support/file-store.ts";
import { afterReady } from "../support/killed.ts";
import { throughPipeline, withinMs } from "../support/pipeline.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";

/** More by hand: HERALD_PIPELINE_MESSAGES=100000 vitest run test/effects/pipeline-killed.test.ts */
const MESSAGES = Number(process.env["HERALD_PIPELINE_MESSAGES"] ?? 1000);
const WITHIN_MS = withinMs(MESSAGES);
/** Messages that come before each pair of kills. */
const CHUNK = 250;
const death = () => ({ deadline: afterReady(20 + Math.random() * 300) });

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
    const deaths = () => [death(), death()] as const;
    const after = (task: () => unknown) => void ending.push(task);
    const passage = { place, messages: MESSAGES, chunk: CHUNK, deaths, withinMs: WITHIN_MS, after };
    expect(await throughPipeline(service, passage)).toBe(2 * Math.ceil(MESSAGES / CHUNK));
    const { values } = service.createStores();
    const counted = await values.keys("effects");
    expect(counted).toHaveLength(HOPS.length * MESSAGES);
    for (const key of counted.filter((_key, at) => at % Math.ceil(MESSAGES / 500) === 0))
      expect([key, (await values.get("effects", key))?.value]).toEqual([key, "1"]);
  },
  WITHIN_MS,
);
