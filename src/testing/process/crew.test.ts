import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startHub, type Hub } from "../../../test/support/hub/server.ts";
import { check } from "../checker/check.ts";
import type { HistoryEvent } from "../checker/history.ts";
import { RealTime } from "../time.ts";
import { Crew, type CrewRole } from "./crew.ts";
import { CRASH_POINTS } from "./spec.ts";

const time = new RealTime({ patienceMs: 20_000 });
let hub: Hub;
let crew: Crew;
let events: HistoryEvent[];

beforeEach(async () => {
  hub = await startHub();
  events = [];
  crew = new Crew({ module: hub.child, place: "crew", emit: (event) => events.push(event) });
});

afterEach(async () => {
  await crew.end();
  await hub[Symbol.asyncDispose]();
});

const publisher: CrewRole = {
  kind: "publisher",
  writer: "w",
  channel: "crew.work",
  inFlight: 4,
  dedupe: true,
  poisonEvery: 0,
  repeatEvery: 0,
  delayUpToMs: 0,
  bodyBytes: 20,
};

const consumer: CrewRole = {
  kind: "consumer",
  agentId: "workers",
  pattern: "crew.work",
  group: "workers",
  guarantee: "at-least-once",
  ordering: "relaxed",
  maxConcurrency: 10,
  prefetch: 20,
  retry: { maxAttempts: 100, backoff: { initialDelayMs: 1 } },
  handlerTimeoutMs: 5000,
  behaviour: {},
};

const handled = () => new Set(events.flatMap((event) => (event.type === "commit.ok" ? [event.id] : [])));

describe("a crew", () => {
  it("makes one history of what several processes did, which the checker accepts", async () => {
    crew.grant("w", 500);
    await crew.start({ ...consumer, behaviour: { throws: 0.1 } });
    await crew.start(publisher);
    await time.until(
      () => handled().size === 500,
      () => `500 effects, not ${handled().size}`,
    );
    expect(crew.writer("w").isDone).toBe(true);
    await crew.end();
    const verdict = check(events, {
      redelivery: "free",
      attempts: "growing",
      minAcked: 500,
      order: "relaxed",
    });
    expect(verdict.findings).toEqual([]);
    expect(verdict.ok).toBe(true);
    expect(events.some(({ type }) => type === "fail")).toBe(true);
  });

  it("goes on where a killed publisher stopped: what was unknown is published again under its id", async () => {
    await crew.start(consumer);
    for (let life = 0; life < 4; life++) {
      const member = await crew.start(publisher, { crash: { point: "publish.sent", nth: 5 } });
      crew.grant("w", 50);
      expect((await member.ended).signal).toBe("SIGKILL");
    }
    await crew.start(publisher);
    await time.until(
      () => handled().size === 200,
      () => `200 effects, not ${handled().size}`,
    );
    await crew.end();
    expect(events.filter(({ type }) => type === "pub.info").length).toBeGreaterThan(0);
    const verdict = check(events, { redelivery: "free", attempts: "growing", minAcked: 200 });
    expect(verdict.findings).toEqual([]);
  });

  it("dies at each of its points, and nothing is lost", async () => {
    const retry = { maxAttempts: 2, backoff: { initialDelayMs: 1 } };
    const failing: CrewRole = { ...consumer, retry, behaviour: { throws: 0.4 } };
    for (const point of CRASH_POINTS) {
      crew.grant("w", 20);
      const isPublishing = point.startsWith("publish");
      const member = await crew.start(isPublishing ? publisher : failing, { crash: { point, nth: 1 } });
      const other = await crew.start(isPublishing ? failing : publisher);
      expect((await member.ended).signal, point).toBe("SIGKILL");
      await other.kill();
    }
  });
});
