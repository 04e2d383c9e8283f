import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { settlePromises } from "../testing/fake-clock.ts";
import { Outstanding } from "./outstanding.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

describe("what is outstanding", () => {
  it("is over at once when there is nothing", async () => {
    await new Outstanding().idle();
  });

  it("is over when everything tracked has ended, also what was tracked meanwhile", async () => {
    const outstanding = new Outstanding();
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    outstanding.track(first.promise);
    let over = 0;
    void outstanding.idle().then(() => over++);
    void outstanding.idle().then(() => over++);
    outstanding.track(second.promise);

    first.resolve();
    await settlePromises();
    expect(over).toBe(0);

    second.resolve();
    await settlePromises();
    expect(over).toBe(2);
  });

  it("keeps nothing of a hundred thousand that have ended", async () => {
    const outstanding = new Outstanding();
    const results: WeakRef<object>[] = [];
    for (let i = 0; i < 100_000; i++) {
      const result = { i };
      if (i % 10_000 === 0) results.push(new WeakRef(result));
      outstanding.track(Promise.resolve(result));
    }
    await outstanding.idle();
    await settlePromises();
    collectGarbage();

    expect(results.every((result) => result.deref() === undefined)).toBe(true);
    await outstanding.idle();
  });
});
