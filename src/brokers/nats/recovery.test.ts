import { describe, expect, it } from "vitest";
import { Recovery } from "./recovery.ts";
import type { Session } from "./session.ts";

const c = { consumer: "c", stream: "then" };

/** What several processes write down, without a server. */
function shared() {
  const records = new Map<string, string>();
  const session = (id: string) =>
    ({
      id,
      names: { records: "r", hand: (consumer: string, process: string) => `${consumer}.${process}` },
      api: {
        store: async (subject: string, text: string) => void records.set(subject, text),
        async *under() {
          for (const text of records.values()) yield { message: { data: Buffer.from(text) } };
        },
      },
    }) as unknown as Session;
  return { records, session };
}

describe("what a killed server has forgotten", () => {
  it("is told by who had it in hand to whoever gets it next", async () => {
    const { session } = shared();
    const [one, other] = [new Recovery(), new Recovery()];
    one.handedOut("7", 2);
    one.handedOut("8", 1);
    one.settled("8", true, 1000);
    other.handedOut("9", 1);
    other.settled("9", false, 1000);

    await one.write(session("one"), c, 1100);
    await other.write(session("other"), c, 1100);
    await other.read(session("other"), c);

    expect(["7", "8", "9", "10"].map((sequence) => other.attempts(sequence))).toEqual([2, 1, 1, 0]);
    expect(["7", "8", "9"].map((sequence) => other.isDone(sequence))).toEqual([false, true, false]);
  });

  it("is nothing of another stream, whose places are others", async () => {
    const { session } = shared();
    const one = new Recovery();
    one.handedOut("7", 1);
    one.settled("7", true, 1000);
    await one.write(session("one"), { ...c, stream: "before" }, 1100);
    const next = new Recovery();
    await next.read(session("next"), c);
    one.clear();
    expect([next.isDone("7"), one.isDone("7")]).toEqual([false, false]);
  });

  it("is nothing that was settled so long ago that it was written down", async () => {
    const { records, session } = shared();
    const one = new Recovery();
    one.handedOut("7", 1);
    one.settled("7", true, 1000);
    await one.write(session("one"), c, 7000);
    expect(records.size).toBe(0);
    expect(one.isDone("7")).toBe(false);
  });
});
