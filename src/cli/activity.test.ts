import { describe, expect, it } from "vitest";
import type { ConsumerLag } from "../service/stats.ts";
import { Activity, untilIdle } from "./activity.ts";

const never = new AbortController().signal;

function lagOf(...numbers: (number | null)[]): () => Promise<ConsumerLag[]> {
  let look = 0;
  return () => {
    const lag = numbers[Math.min(look++, numbers.length - 1)] ?? null;
    return Promise.resolve([{ channel: "a", group: "g", lag, unsettled: 0 }]);
  };
}

describe("untilIdle", () => {
  it("looks until nothing waits", async () => {
    let looks = 0;
    const lag = lagOf(2, 1, 0);
    const counted = () => {
      looks++;
      return lag();
    };
    expect(
      await untilIdle({ activity: new Activity(), lag: counted, signal: never, timeoutMs: undefined }),
    ).toBe("idle");
    expect(looks).toBe(4);
  });

  it("takes a lag that the broker does not know for none", async () => {
    expect(
      await untilIdle({ activity: new Activity(), lag: lagOf(null), signal: never, timeoutMs: 5000 }),
    ).toBe("idle");
  });

  it("waits for a handler that runs, although its message is acknowledged", async () => {
    const activity = new Activity();
    const work = Promise.withResolvers<void>();
    let idle = false;
    void activity.track(() => work.promise);
    const waiting = untilIdle({ activity, lag: lagOf(0), signal: never, timeoutMs: undefined }).then(
      () => (idle = true),
    );
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(idle).toBe(false);
    work.resolve();
    await waiting;
    expect(idle).toBe(true);
  });

  it("is not taken in by a moment of quiet between two pieces of work", async () => {
    const activity = new Activity();
    let looks = 0;
    const lag = async () => {
      // Something has come and gone since the look before this one.
      if (++looks < 5) await activity.track(() => {});
      return [];
    };
    expect(await untilIdle({ activity, lag, signal: never, timeoutMs: undefined })).toBe("idle");
    expect(looks).toBe(5);
  });

  it("gives up after its time", async () => {
    expect(await untilIdle({ activity: new Activity(), lag: lagOf(1), signal: never, timeoutMs: 0 })).toBe(
      "timeout",
    );
  });

  it("ends when it is interrupted", async () => {
    expect(
      await untilIdle({
        activity: new Activity(),
        lag: lagOf(1),
        signal: AbortSignal.abort(),
        timeoutMs: undefined,
      }),
    ).toBe("interrupted");
  });
});

describe("Activity", () => {
  it("counts work that fails as ended, and passes the error on", async () => {
    const activity = new Activity();
    await expect(activity.track(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(activity.running).toBe(0);
  });
});
