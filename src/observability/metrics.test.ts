import { describe, expect, it } from "vitest";
import { FakeClock } from "../testing/fake-clock.ts";
import { Metrics } from "./metrics.ts";

function metricsOf() {
  const clock = new FakeClock();
  return { clock, metrics: new Metrics(clock) };
}

describe("a snapshot", () => {
  it("of nothing is zeros, with the time it was taken", () => {
    const { metrics } = metricsOf();

    expect(metrics.snapshot()).toEqual({
      published: 0,
      publishFailed: 0,
      delivered: 0,
      handled: 0,
      failed: 0,
      retried: 0,
      redelivered: 0,
      deadLettered: 0,
      discarded: 0,
      expired: 0,
      duplicates: 0,
      filtered: 0,
      snoozed: 0,
      lateReplies: 0,
      avgLatencyMs: 0,
      p50LatencyMs: 0,
      p95LatencyMs: 0,
      p99LatencyMs: 0,
      throughput: 0,
      windowMs: 60_000,
      timestamp: "2026-01-01T00:00:00.000Z",
      channels: {},
      groups: [],
      breakers: [],
    });
  });

  it("sums every counter over channels and groups, duplicates of both kinds together", () => {
    const { metrics } = metricsOf();
    const names = [
      "delivered",
      "handled",
      "failed",
      "retried",
      "redelivered",
      "deadLettered",
      "discarded",
      "expired",
      "filtered",
      "snoozed",
    ] as const;
    let value = 1;
    const sums: Record<string, number> = {};
    for (const [channel, group] of [
      ["c", "g"],
      ["c", "h"],
      ["d", "g"],
    ] as const) {
      const counters = metrics.group(channel, group);
      for (const name of names) {
        counters[name] += value;
        sums[name] = (sums[name] ?? 0) + value++;
      }
      counters.duplicates += 1;
    }
    metrics.channel("c").published = 5;
    metrics.channel("e").published = 7;
    metrics.channel("e").publishFailed = 2;
    metrics.channel("e").duplicates = 10;
    metrics.lateReply();

    const snapshot = metrics.snapshot();
    expect(snapshot).toMatchObject({
      ...sums,
      published: 12,
      publishFailed: 2,
      duplicates: 13,
      lateReplies: 1,
    });
    expect(Object.keys(snapshot.channels).toSorted()).toEqual(["c", "d", "e"]);
    expect(snapshot.groups.map(({ channel, group }) => `${channel} ${group}`)).toEqual(["c g", "c h", "d g"]);
  });

  it("is a picture: what is counted later does not change it", () => {
    const { metrics } = metricsOf();
    const counters = metrics.group("c", "g");
    counters.handled = 1;
    const snapshot = metrics.snapshot();
    counters.handled = 2;
    metrics.channel("c").published = 9;

    expect(snapshot.handled).toBe(1);
    expect(snapshot.groups[0]?.handled).toBe(1);
    expect(snapshot.channels["c"]?.published).toBe(0);
  });

  it("holds channels of any name as its own entries", () => {
    const { metrics } = metricsOf();
    metrics.channel("__proto__").published = 1;
    metrics.channel("constructor").published = 2;

    const { channels, published } = metrics.snapshot();
    expect(published).toBe(3);
    expect(Object.getOwnPropertyNames(channels).toSorted()).toEqual(["__proto__", "constructor"]);
  });
});

describe("latency", () => {
  it("has an average and percentiles, to two figures, per group and over all", () => {
    const { metrics } = metricsOf();
    for (let ms = 1; ms <= 100; ms++) {
      const counters = metrics.group("c", ms <= 50 ? "g" : "h");
      counters.handled++;
      counters.latency(ms);
    }
    const { avgLatencyMs, p50LatencyMs, p95LatencyMs, p99LatencyMs, groups } = metrics.snapshot();

    expect(avgLatencyMs).toBeCloseTo(50.5, 9);
    for (const [got, expected] of [
      [p50LatencyMs, 50],
      [p95LatencyMs, 95],
      [p99LatencyMs, 99],
    ] as const) {
      expect(got).toBeGreaterThan(expected * 0.98);
      expect(got).toBeLessThan(expected * 1.02);
    }
    expect(groups.map(({ latency }) => latency.avgLatencyMs)).toEqual([25.5, 75.5]);
    expect(groups[0]?.latency.p99LatencyMs).toBeLessThan(51);
  });

  it.each([-5, Number.NaN, 0, 1e9, 8.64e15 * 2, Number.MAX_VALUE])(
    "of a clock that jumped or a message from another age is counted, not thrown: %d",
    (ms) => {
      const { metrics } = metricsOf();
      const counters = metrics.group("c", "g");
      counters.handled++;
      counters.latency(ms);

      const { avgLatencyMs, p99LatencyMs } = metrics.snapshot();
      expect(avgLatencyMs).toBeGreaterThanOrEqual(0);
      expect(p99LatencyMs).toBeGreaterThan(0);
      expect(p99LatencyMs).toBeLessThan(86_400_000 * 1.01);
    },
  );

  it("moves the throughput and the time of the last message, of all and of its channel", () => {
    const { clock, metrics } = metricsOf();
    clock.advance(2000);
    for (let i = 0; i < 10; i++) metrics.group("c", "g").latency(1);
    clock.advance(3000);

    expect(metrics.lastHandledAt).toBe(2000);
    expect(metrics.snapshot().throughput).toBe(2);
    // The channel was first seen three seconds ago.
    expect(metrics.channelMetrics("c")?.messagesPerSecond).toBeCloseTo(10 / 3, 9);
  });
});

describe("a flood of names", () => {
  it("of channels is counted together beyond ten thousand", () => {
    const { metrics } = metricsOf();
    for (let i = 0; i < 12_000; i++) {
      metrics.channel(`c${i}`).published++;
      metrics.group(`c${i}`, "g").handled++;
    }
    const snapshot = metrics.snapshot();

    expect(Object.keys(snapshot.channels)).toHaveLength(10_001);
    expect(snapshot.channels["(other)"]?.published).toBe(2000);
    expect(snapshot.published).toBe(12_000);
    expect(snapshot.handled).toBe(12_000);
    expect(snapshot.groups.at(-1)).toMatchObject({ channel: "(other)", handled: 2000 });
    expect(metrics.channelMetrics("c11999")).toBeUndefined();
    expect(metrics.groupMetrics("c11999")).toEqual([]);
  });

  it("of groups keeps percentiles for the first 256 and the average for all", () => {
    const { metrics } = metricsOf();
    for (let i = 0; i < 300; i++) {
      const counters = metrics.group("c", `g${i}`);
      counters.handled++;
      counters.latency(10);
    }
    const groups = metrics.groupMetrics("c");

    expect(groups.filter(({ latency }) => latency.p50LatencyMs > 0)).toHaveLength(256);
    expect(groups.every(({ latency }) => latency.avgLatencyMs === 10)).toBe(true);
  });
});
