import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { EFFECT_POINTS } from "../support/child-effects.ts";
import type { ChildPlace } from "../support/child-stores.ts";
import { killAndPay, payTogether } from "../support/effect-kills.ts";
import { scratchFolder } from "../support/file-store.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";
import { crashRuns } from "../support/killed.ts";

const RUNS = crashRuns(3);

let server: TestServer;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const PLACES: Record<string, () => ChildPlace> = {
  file: () => {
    const directory = scratchFolder("effects");
    folders.push(directory);
    return { directory };
  },
  redis: () => ({ url: server.url, namespace: newPlace() }),
};

describe.each(Object.keys(PLACES))("on %s an effect", (name) => {
  const place = PLACES[name] as () => ChildPlace;

  it.each(EFFECT_POINTS)(
    "whose process is killed at '%s' takes effect once, and its result is that of the process that goes on",
    async (point) => {
      for (let left = RUNS; left > 0; left -= 3) {
        const runs = Array.from({ length: Math.min(left, 3) }, () => killAndPay(place(), point));
        await Promise.all(runs);
      }
    },
  );

  it("that another process is at is waited for, and made once", async () => {
    await payTogether(place(), false);
  });

  it("of a process that sleeps is taken over, and that one gets its successor's result when it wakes", async () => {
    await payTogether(place(), true);
  });
});
