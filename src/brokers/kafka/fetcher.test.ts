import * as kafka from "@platformatic/kafka";
import { expect, it } from "vitest";
import { systemClock } from "../../core/clock.ts";
import type { Cluster } from "./cluster.ts";
import { Fetcher } from "./fetcher.ts";
import type { Reader } from "./reader.ts";

it("asks with pauses who leads a partition that nobody leads", async () => {
  let asked = 0;
  const cluster = {
    kafka,
    clock: systemClock,
    topic: () => ({ id: "id", leaders: [-1] }),
    leader: () => undefined,
    refresh: async () => void asked++,
  } as unknown as Cluster;
  const fetcher = new Fetcher(cluster);
  fetcher.add({ topic: "t", partition: 0, position: 0, wants: true } as Reader);
  await expect.poll(() => asked).toBeGreaterThan(1);
  const before = asked;
  await new Promise((resolve) => setTimeout(resolve, 200));
  fetcher.close();
  expect(asked - before).toBeGreaterThan(0);
  expect(asked - before).toBeLessThan(10);
});
