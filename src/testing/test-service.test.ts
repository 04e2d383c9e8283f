import { describe, expect, it } from "vitest";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { MessagingService } from "../service/service.ts";
import { FakeClock } from "./fake-clock.ts";
import { TestService } from "./test-service.ts";
import { SteppedTime } from "./time.ts";

async function started(options: { readonly clock?: FakeClock } = {}) {
  const { clock } = options;
  const timed = clock === undefined ? {} : { clock };
  const service = new MessagingService({ agentId: "tested", broker: new MemoryBroker(timed), ...timed });
  return new TestService(service, clock === undefined ? undefined : new SteppedTime(clock)).start();
}

describe("TestService", () => {
  it("remembers what was published and accepted, by channel", async () => {
    await using tested = await started();

    const id = await tested.publish("a.b", { n: 1 }, { priority: "high" });
    await tested.publish("a.c", { n: 2 });
    await expect(tested.publish("a.b", 10n)).rejects.toMatchObject({ code: "UNSERIALIZABLE" });

    expect(tested.published("a.b")).toEqual([
      { id, channel: "a.b", payload: { n: 1 }, options: { priority: "high" } },
    ]);
    expect(tested.published()).toHaveLength(2);
  });

  it("remembers what handlers returned and threw, attempt by attempt", async () => {
    const clock = new FakeClock();
    const tested = await started({ clock });
    await tested.subscribe("jobs", (_message, { attempt }) => {
      if (attempt === 1) throw new Error("not yet");
      return "done";
    });

    await tested.publish("jobs", {});
    const runs = await tested.waitForHandled("jobs", 2);

    expect(
      runs.map(({ attempt, result, error }) => [attempt, result, (error as Error | undefined)?.message]),
    ).toEqual([
      [1, undefined, "not yet"],
      [2, "done", undefined],
    ]);
    expect(tested.handled("others")).toEqual([]);
    expect(tested.handled()).toHaveLength(2);
    await tested.stop();
    expect(clock.pending).toBe(0);
  });

  it("collects what is published on a pattern, beside whoever handles it", async () => {
    await using tested = await started();
    await tested.subscribe("news.sport", () => {});
    await tested.collect("news.#");

    await tested.publish("news.sport", 1);
    await tested.publish("news", 2);
    const messages = await tested.waitFor("news.#", 2);

    expect(messages.map(({ channel, payload }) => [channel, payload])).toEqual([
      ["news.sport", 1],
      ["news", 2],
    ]);
    expect(tested.collected("nothing")).toEqual([]);
    await tested.waitForHandled("news.sport");
  });

  it("says how many came when not enough did", async () => {
    await using tested = await started();
    await tested.collect("news");
    await tested.publish("news", 1);

    await expect(tested.waitFor("news", 2, 20)).rejects.toThrow(
      "Waited 20 ms for 2 messages on 'news'; 1 came",
    );
    await expect(tested.waitForHandled("news", 1, 20)).rejects.toThrow(
      "1 handled messages on 'news'; 0 were",
    );
  });
});
