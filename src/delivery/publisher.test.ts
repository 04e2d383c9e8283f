import { describe, expect, it } from "vitest";
import { eventsOf } from "../../test/support/consuming.ts";
import { envelope } from "../../test/support/envelopes.ts";
import type { BrokerPublishOptions, PublishResult } from "../core/broker.ts";
import type { Envelope } from "../core/envelope.ts";
import { Breaker } from "../core/breaker.ts";
import { HeraldError } from "../core/errors.ts";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { Metrics } from "../observability/metrics.ts";
import { FakeClock, settlePromises } from "../testing/fake-clock.ts";
import { FlakyBroker } from "../testing/flaky-broker.ts";
import { Publisher, type PublisherOptions } from "./publisher.ts";

type Publish = (
  envelopes: readonly Envelope[],
  options?: BrokerPublishOptions,
) => Promise<readonly PublishResult[]>;

const accepted: PublishResult = { ok: true, position: "1", deduplicated: false, matched: 1 };

/** A publisher over a broker whose publish is `answer`, and the calls it got. */
function publishing(
  answer: Publish = (batch) => Promise.resolve(batch.map(() => accepted)),
  more: Partial<PublisherOptions> = {},
) {
  const clock = new FakeClock();
  const metrics = new Metrics(clock);
  const calls: { readonly ids: string[]; readonly dedupe: boolean }[] = [];
  const broker = new MemoryBroker();
  broker.publish = (batch, options) => {
    calls.push({ ids: batch.map(({ id }) => id), dedupe: options?.dedupe === true });
    return answer(batch, options);
  };
  const publisher = new Publisher({
    broker,
    agentId: "a",
    clock,
    meter: metrics,
    maxBatch: 100,
    publishTimeoutMs: 1000,
    maxPending: 1000,
    ...more,
  });
  const publish = (id: string, dedupe = false): Promise<string> =>
    publisher.publish(envelope({ id }), dedupe);
  return { clock, metrics, calls, publisher, publish };
}

const forever = (): Promise<never> => new Promise(() => {});

describe("what is published in one tick", () => {
  it("goes to the broker in one call, in order, each with its own answer", async () => {
    const { calls, publish } = publishing();

    expect(await Promise.all(["a", "b", "c"].map((id) => publish(id)))).toEqual(["a", "b", "c"]);
    expect(calls).toEqual([{ ids: ["a", "b", "c"], dedupe: false }]);
  });

  it("waits for nothing that is published in a later tick", async () => {
    const { calls, publish } = publishing();
    await publish("a");
    await publish("b");

    expect(calls.map(({ ids }) => ids)).toEqual([["a"], ["b"]]);
  });

  it("is split at the broker's largest batch, in order", async () => {
    const { calls, publish } = publishing(undefined, { maxBatch: 2 });
    await Promise.all(["a", "b", "c", "d", "e"].map((id) => publish(id)));

    expect(calls.map(({ ids }) => ids)).toEqual([["a", "b"], ["c", "d"], ["e"]]);
  });

  it("is split where dedupe is asked for or not, in order", async () => {
    const { calls, publish } = publishing();
    await Promise.all([publish("a"), publish("b", true), publish("c", true), publish("d")]);

    expect(calls).toEqual([
      { ids: ["a"], dedupe: false },
      { ids: ["b", "c"], dedupe: true },
      { ids: ["d"], dedupe: false },
    ]);
  });

  it("is counted, and told as an event, once the broker has it", async () => {
    const events = eventsOf<{ agent: string; envelopes: Envelope[]; results: PublishResult[] }>("published");
    const { metrics, publish } = publishing((batch) =>
      Promise.resolve(batch.map((_one, at) => ({ ...accepted, deduplicated: at === 1 }))),
    );
    await Promise.all([publish("a"), publish("b")]);

    expect(metrics.channel("c")).toMatchObject({ published: 2, duplicates: 1, publishFailed: 0 });
    expect(events.map(({ agent, envelopes }) => [agent, envelopes.map(({ id }) => id)])).toEqual([
      ["a", ["a", "b"]],
    ]);
  });

  it("is counted on the channel that it is for", async () => {
    const { metrics, publisher } = publishing();
    await Promise.all(["x", "y", "x"].map((channel) => publisher.publish(envelope({ channel }), false)));

    expect([metrics.channel("x").published, metrics.channel("y").published]).toEqual([2, 1]);
  });

  it("resolves with what the broker said of it where that is asked for", async () => {
    const { publisher } = publishing();

    expect(await publisher.send(envelope(), false)).toEqual(accepted);
  });
});

describe("a publish that fails", () => {
  it("rejects with the broker's error for that envelope, and for no other of its batch", async () => {
    const error = new HeraldError("MESSAGE_TOO_LARGE", "Too large.");
    const { metrics, publish } = publishing((batch) =>
      Promise.resolve(batch.map((_one, at): PublishResult => (at === 1 ? { ok: false, error } : accepted))),
    );
    const results = await Promise.allSettled(["a", "b", "c"].map((id) => publish(id)));

    expect(results).toEqual([
      { status: "fulfilled", value: "a" },
      { status: "rejected", reason: error },
      { status: "fulfilled", value: "c" },
    ]);
    expect(metrics.channel("c")).toMatchObject({ published: 2, publishFailed: 1 });
  });

  it("rejects all of a batch when the call fails, with one of Herald's errors", async () => {
    const { metrics, publish } = publishing(() => Promise.reject(new TypeError("broken client")));
    const results = await Promise.allSettled(["a", "b"].map((id) => publish(id)));

    expect(results).toMatchObject([
      { reason: { code: "INTERNAL", message: "broken client" } },
      { reason: { code: "INTERNAL" } },
    ]);
    expect(metrics.channel("c").publishFailed).toBe(2);
  });

  it("rejects with INTERNAL where the broker answered for too few", async () => {
    const { publish } = publishing(() => Promise.resolve([accepted]));
    const results = await Promise.allSettled(["a", "b"].map((id) => publish(id)));

    expect(results).toMatchObject([
      { value: "a" },
      { reason: { code: "INTERNAL", message: /bug of the broker/ } },
    ]);
  });

  it("does the same through a broker that fails in half of its batch", async () => {
    const broker = new FlakyBroker(new MemoryBroker(), [{ on: "publish", fault: "half" }]);
    await broker.open();
    const { publisher } = publishing(undefined, { broker });
    const results = await Promise.allSettled([0, 1, 2].map(() => publisher.publish(envelope(), false)));

    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });
});

describe("a broker that does not answer", () => {
  it("is given up on with TIMEOUT, and what it says later is ignored", async () => {
    const answer = Promise.withResolvers<readonly PublishResult[]>();
    const { clock, metrics, publisher, publish } = publishing(() => answer.promise);
    const results = Promise.allSettled([publish("a"), publish("b")]);
    await clock.advanceAsync(999);
    expect(publisher.pending).toBe(2);
    await clock.advanceAsync(1);

    expect(await results).toMatchObject([
      { reason: { code: "TIMEOUT", retryable: true, details: { timeoutMs: 1000 } } },
      { reason: { code: "TIMEOUT" } },
    ]);
    expect(publisher.pending).toBe(0);

    answer.resolve([accepted, accepted]);
    await settlePromises();
    expect(publisher.pending).toBe(0);
    expect(metrics.channel("c")).toMatchObject({ published: 0, publishFailed: 2 });
  });

  it("may fail later: nobody hears of it twice", async () => {
    const answer = Promise.withResolvers<readonly PublishResult[]>();
    const { clock, publisher, publish } = publishing(() => answer.promise);
    const publishingOne = publish("a");
    await Promise.all([
      expect(publishingOne).rejects.toMatchObject({ code: "TIMEOUT" }),
      clock.advanceAsync(1000),
    ]);
    answer.reject(new Error("late"));
    await settlePromises();

    expect(publisher.pending).toBe(0);
  });

  it("holds back at most as many publishes as may wait; one more is OVERLOADED", async () => {
    const { calls, publisher, publish } = publishing(forever, { maxPending: 2 });
    void publish("a");
    void publish("b");

    await expect(publish("c")).rejects.toMatchObject({
      code: "OVERLOADED",
      retryable: true,
      details: { maxPending: 2 },
    });
    await settlePromises();
    expect(calls.map(({ ids }) => ids)).toEqual([["a", "b"]]);
    expect(publisher.pending).toBe(2);
  });

  it("is answered in time: room is free again and no timer is left running over", async () => {
    const { clock, publisher, publish } = publishing(undefined, { maxPending: 1 });
    for (let i = 0; i < 50; i++) await publish(`m${i}`);
    await clock.advanceAsync(10_000);

    expect(publisher.pending).toBe(0);
    expect(clock.pending).toBe(0);
  });
});

describe("idle", () => {
  it("resolves at once when nothing waits, else with the last answer", async () => {
    const answers: PromiseWithResolvers<readonly PublishResult[]>[] = [];
    const { publisher, publish } = publishing(() => {
      const answer = Promise.withResolvers<readonly PublishResult[]>();
      answers.push(answer);
      return answer.promise;
    });
    await publisher.idle();

    void publish("a");
    await settlePromises();
    void publish("b");
    await settlePromises();
    let idle = false;
    void publisher.idle().then(() => (idle = true));
    answers[1]?.resolve([accepted]);
    await settlePromises();
    expect(idle).toBe(false);

    answers[0]?.resolve([accepted]);
    await settlePromises();
    expect(idle).toBe(true);
  });
});

describe("a commit", () => {
  const envelopes = [envelope({ id: "a", channel: "c" }), envelope({ id: "b", channel: "d" })];
  const failing = (code: "STORAGE_FULL" | "CONFLICT") => (): Promise<never> =>
    Promise.reject(new HeraldError(code, "no"));

  it("counts and tells of what it has published as a publish does", async () => {
    const { metrics, publisher } = publishing();
    const told = eventsOf<{ readonly envelopes: readonly Envelope[] }>("published");
    await publisher.commit(envelopes, async () => {});
    await publisher.commit([], async () => {});

    expect(metrics.channel("c")).toMatchObject({ published: 1, publishFailed: 0 });
    expect(metrics.channel("d")).toMatchObject({ published: 1, publishFailed: 0 });
    expect(told.map((event) => event.envelopes.map(({ id }) => id))).toEqual([["a", "b"]]);
  });

  it("that fails is counted as failed publishes, but for one where somebody was faster", async () => {
    const { metrics, publisher } = publishing();
    await expect(publisher.commit(envelopes, failing("STORAGE_FULL"))).rejects.toMatchObject({
      code: "STORAGE_FULL",
    });
    await expect(publisher.commit(envelopes, failing("CONFLICT"))).rejects.toMatchObject({
      code: "CONFLICT",
    });

    expect(metrics.channel("c")).toMatchObject({ published: 0, publishFailed: 1 });
  });

  it("stands behind the circuit breaker of the broker, unless it publishes nothing", async () => {
    const clock = new FakeClock();
    const breaker = new Breaker({
      agentId: "a",
      kind: "broker",
      name: "memory",
      clock,
      openMs: 1000,
      probes: 1,
      createPolicy: () => ({ success() {}, failure: () => true }),
    });
    const { publisher } = publishing(undefined, { breaker });
    let commits = 0;
    const commit = async (): Promise<void> => void commits++;
    await expect(publisher.commit(envelopes, failing("CONFLICT"))).rejects.toThrow();
    expect(breaker.state).toBe("closed");
    await expect(publisher.commit(envelopes, failing("STORAGE_FULL"))).rejects.toThrow();
    expect(breaker.state).toBe("open");

    await expect(publisher.commit(envelopes, commit)).rejects.toMatchObject({ code: "CIRCUIT_OPEN" });
    await publisher.commit([], commit);
    expect(commits).toBe(1);
    await clock.advanceAsync(1000);
    await publisher.commit(envelopes, commit);
    expect(commits).toBe(2);
    expect(breaker.state).toBe("closed");
  });
});
