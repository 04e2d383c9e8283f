import * as kafka from "@platformatic/kafka";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../core/clock.ts";
import type { Cluster } from "./cluster.ts";
import { Fetcher } from "./fetcher.ts";
import type { Reader } from "./reader.ts";

/** A cluster with one partition; `node` leads it. */
function clusterOf(node: () => number | undefined, more: object): Cluster {
  const topic = () => ({ id: "id", leaders: [] });
  return { kafka, clock: systemClock, topic, leader: node, ...more } as unknown as Cluster;
}

const reader = { topic: "t", partition: 0, position: 0, wants: true } as Reader;

describe("who reads partitions", () => {
  it("asks with pauses who leads one that nobody leads", async () => {
    let asked = 0;
    const cluster = clusterOf(() => undefined, { refresh: async () => void asked++ });
    const fetcher = new Fetcher(cluster);
    fetcher.add(reader);
    await expect.poll(() => asked).toBeGreaterThan(1);
    const before = asked;
    await new Promise((resolve) => setTimeout(resolve, 200));
    fetcher.close();
    expect(asked - before).toBeGreaterThan(0);
    expect(asked - before).toBeLessThan(10);
  });

  it("goes on at the node that leads one by now, whoever has found that out", async () => {
    let leader = 1;
    const asked: number[] = [];
    const cluster = clusterOf(() => leader, {
      refresh: () => new Promise(() => undefined),
      call: async (node: number) => {
        asked.push(node);
        setTimeout(() => (leader = 2), 10);
        throw new Error("gone");
      },
    });
    const fetcher = new Fetcher(cluster);
    fetcher.add(reader);
    await expect.poll(() => asked).toContain(2);
    fetcher.close();
    expect(asked[0]).toBe(1);
  });
});
