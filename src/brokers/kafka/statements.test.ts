import { describe, expect, it } from "vitest";
import { systemClock } from "../../core/clock.ts";
import type { Directory } from "./directory.ts";
import { encodeInfo, type MemberInfo } from "./members.ts";
import { Statements } from "./statements.ts";

/** A directory that keeps statements, for several processes. */
function directory() {
  const statements = new Map<string, { readonly parts: readonly Buffer[]; readonly storedAt: number }>();
  const put = async (name: string, parts: readonly Buffer[]) =>
    void statements.set(name, { parts, storedAt: systemClock.now() });
  const drop = async (names: readonly string[]) => names.forEach((name) => statements.delete(name));
  const fake = { statements, putStatement: put, dropStatements: drop, caughtUp: async () => undefined };
  return { statements, process: () => new Statements(fake as unknown as Directory, systemClock) };
}

/** What a process with so many agents says, whose names have nothing in common. */
function crowd(count: number): MemberInfo {
  const names = Array.from({ length: count }, () => `agent-${crypto.randomUUID()}`);
  return { groups: Object.fromEntries(names.map((name) => [name, [name]])), held: {} };
}

describe("what processes say of themselves", () => {
  it("is heard as it was said, short or long, and is short on the way however long it is", async () => {
    const { process } = directory();
    const [one, other] = [process(), process()];
    const infos = [crowd(2), crowd(20_000)] as const;
    expect(encodeInfo(infos[1]).length).toBeGreaterThan(256 * 1024);

    const said = new Map([
      ["a", await one.say(infos[0])],
      ["b", await other.say(infos[1])],
    ]);

    expect([...said.values()].every(({ length }) => length < 1024)).toBe(true);
    expect(await process().hear(said)).toEqual(new Map([["a", infos[0]], ["b", infos[1]]])); // prettier-ignore
  });

  it("is not kept when it is said anew, or when its process leaves", async () => {
    const { process, statements } = directory();
    const one = process();
    const first = new Map([["a", await one.say(crowd(100))]]);
    await one.hear(first);
    const second = new Map([["a", await one.say(crowd(100))]]);
    await one.hear(second);

    expect(statements.size).toBe(1);
    await expect(process().hear(first)).rejects.toMatchObject({ code: "CONFLICT" });
    await one.close();
    expect(statements.size).toBe(0);
  });

  it("is not kept for ever of one that died, and is of one that is still to be heard", async () => {
    const { process, statements } = directory();
    await process().say(crowd(100));
    const [dead] = [...statements];
    statements.set("dead-1", { ...dead![1], storedAt: systemClock.now() - 3_600_000 });

    await process().hear(new Map());

    expect([...statements.keys()]).toEqual([dead![0]]);
  });
});
