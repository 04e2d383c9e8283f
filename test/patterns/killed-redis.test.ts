import { afterAll, beforeAll, describe, it } from "vitest";
import { newPlace } from "../../src/testing/conformance/context.ts";
import { crashRuns } from "../support/killed.ts";
import { killAndGoOn, killPoints } from "../support/saga-kills.ts";
import { startRedis, type TestServer } from "../support/servers/redis.ts";

const RUNS = crashRuns();
let server: TestServer;

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

describe("a saga on Redis whose process is killed", () => {
  it.each([...killPoints(false), ...killPoints(true)])(
    "$side its write $at (undone: $isDoomed) is gone on with, each effect once",
    async (point) => {
      for (let run = 0; run < RUNS; run++)
        await killAndGoOn({ url: server.url, namespace: newPlace() }, point);
    },
  );
});
