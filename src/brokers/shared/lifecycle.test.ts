import { describe, expect, it } from "vitest";
import type { Capabilities } from "../../core/broker.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { Lifecycle, type Ending } from "./lifecycle.ts";

const capabilities = {} as Capabilities;
const refusal = (code: string) => expect.objectContaining({ code });

/** A broker of two parts, the second of which may fail. */
function life(second: (ending: Ending) => Promise<void> = () => Promise.resolve()) {
  const ended: string[] = [];
  const one = new Lifecycle<string>({
    title: "Test",
    named: (error) => toHeraldError(error, "NOT_CONNECTED"),
    async start(ending) {
      ending(() => ended.push("links"));
      await second(ending);
      ending(() => Promise.resolve().then(() => ended.push("runtime")));
      return { runtime: "runtime", capabilities };
    },
  });
  return { one, ended };
}

describe("a broker's life", () => {
  it("is new, then open, then closed for ever; what was begun last ends first, once", async () => {
    const { one, ended } = life();
    expect([one.isOpen, one.isClosed]).toEqual([false, false]);
    expect(() => one.runtime).toThrow(refusal("CLOSED"));

    expect(await one.open()).toBe(capabilities);
    expect([one.isOpen, one.runtime]).toEqual([true, "runtime"]);
    await expect(one.open()).rejects.toThrow(refusal("ALREADY_EXISTS"));

    await Promise.all([one.close(), one.close()]);
    expect(ended).toEqual(["runtime", "links"]);
    expect([one.isOpen, one.isClosed]).toEqual([false, true]);
    expect(() => one.runtime).toThrow(refusal("CLOSED"));
    await expect(one.open()).rejects.toThrow(refusal("CLOSED"));
  });

  it("can begin again after an open that failed, which has left nothing behind", async () => {
    let isBroken = true;
    const { one, ended } = life(() => (isBroken ? Promise.reject(new Error("refused")) : Promise.resolve()));
    await expect(one.open()).rejects.toThrow(refusal("NOT_CONNECTED"));
    expect(ended).toEqual(["links"]);

    isBroken = false;
    await one.open();
    expect(one.isOpen).toBe(true);
    await one.close();
    expect(ended).toEqual(["links", "runtime", "links"]);
  });

  it.each(["a signal", "a close"])("does not begin when %s cancels its opening", async (how) => {
    const gate = Promise.withResolvers<void>();
    const { one, ended } = life(() => gate.promise);
    const stop = new AbortController();
    const opening = one.open(stop.signal);
    await expect(one.open()).rejects.toThrow(refusal("ALREADY_EXISTS"));
    if (how === "a signal") stop.abort();
    else await one.close();
    gate.resolve();

    await expect(opening).rejects.toThrow(refusal("CANCELLED"));
    expect(ended).toEqual(["runtime", "links"]);
    expect([one.isOpen, one.isClosed]).toEqual([false, how === "a close"]);
  });

  it("gives what a call throws a code: CLOSED when the broker closed meanwhile", async () => {
    const { one } = life();
    await expect(one.run(() => Promise.resolve(1))).rejects.toThrow(refusal("CLOSED"));
    await one.open();
    expect(await one.run((runtime) => Promise.resolve(runtime))).toBe("runtime");
    await expect(one.run(() => Promise.reject(new Error("reset")))).rejects.toThrow(refusal("NOT_CONNECTED"));
    const gate = Promise.withResolvers<never>();
    const running = one.run(() => gate.promise);
    await one.close();
    gate.reject(new HeraldError("TIMEOUT", "late"));
    await expect(running).rejects.toThrow(refusal("CLOSED"));
  });
});
