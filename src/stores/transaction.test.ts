import { describe, expect, it } from "vitest";
import { MemoryStores } from "./memory-stores.ts";
import { PendingStores } from "./transaction.ts";

const events = (...bodies: string[]) => bodies.map((body) => ({ body, hash: `#${body}` }));

async function world() {
  const stores = new MemoryStores();
  const token = (await stores.values.put("space", "known", "1")) as string;
  await stores.events.append("stream", 0, events("a", "b"));
  return { stores, token, tx: new PendingStores(stores) };
}

describe("values in a transaction", () => {
  it("are read as they will be, and stay as they are in the store", async () => {
    const { stores, tx } = await world();
    const put = await tx.values.put("space", "new", "2");

    expect(await tx.values.get("space", "new")).toEqual({ value: "2", token: put });
    expect(await tx.values.delete("space", "known")).toBe(true);
    expect(await tx.values.get("space", "known")).toBeUndefined();
    expect(await tx.values.keys("space")).toEqual(["new"]);
    expect(await stores.values.keys("space")).toEqual(["known"]);
    expect(await stores.values.get("space", "new")).toBeUndefined();
  });

  it("are put on conditions as in the store, also on what the transaction itself has put", async () => {
    const { token, tx } = await world();

    expect(await tx.values.put("space", "known", "2", "another")).toBeUndefined();
    expect(await tx.values.put("space", "known", "2", null)).toBeUndefined();
    const second = await tx.values.put("space", "known", "2", token);
    expect(await tx.values.put("space", "known", "3", token)).toBeUndefined();
    expect(await tx.values.put("space", "known", "3", second)).toBeDefined();
    expect(await tx.values.delete("space", "known", second)).toBe(false);
    expect(await tx.values.delete("space", "unknown")).toBe(false);
    const { values } = tx.end();
    expect(values).toMatchObject([{ space: "space", key: "known", value: "3" }]);
  });

  it("put twice at once on one condition are put once", async () => {
    const { tx } = await world();
    const puts = ["x", "y"].map((value) => tx.values.put("space", "new", value, null));

    expect((await Promise.all(puts)).filter((token) => token !== undefined)).toHaveLength(1);
  });

  it("that were looked at are to be as they were; what was only written is not", async () => {
    const { token, tx } = await world();
    await tx.values.get("space", "known");
    await tx.values.get("space", "known");
    await tx.values.put("space", "blind", "1");
    await tx.values.put("space", "first", "1", null);

    expect(tx.end().reads).toEqual([
      { space: "space", key: "known", token },
      { space: "space", key: "first", token: null },
    ]);
  });

  it("read while another call of the transaction writes them are what was written", async () => {
    const { tx } = await world();
    const reading = tx.values.get("space", "known");
    await tx.values.put("space", "known", "9");

    expect((await reading)?.value).toBe("9");
  });
});

describe("streams in a transaction", () => {
  it("grow in it alone, behind the version that they have", async () => {
    const { stores, tx } = await world();

    expect(await tx.events.append("stream", 1, events("x"))).toMatchObject({ isStored: false });
    expect(await tx.events.append("stream", 2, events("c"))).toEqual({
      isStored: true,
      head: { version: 3, hash: "#c" },
    });
    await tx.events.append("stream", 3, events("d"));
    await tx.events.append("another", 0, events("z"));
    await tx.events.append("empty", 0, []);
    expect(await tx.events.head("stream")).toEqual({ version: 4, hash: "#d" });
    expect((await tx.events.read("stream", 0, 10)).map(({ body }) => body)).toEqual(["a", "b"]);
    expect((await tx.events.read("stream", 2, 1)).map(({ body }) => body)).toEqual(["c"]);
    expect((await tx.events.read("stream", 4, 1)).map(({ body }) => body)).toEqual([]);
    expect(await tx.events.streams()).toEqual(["another", "stream"]);
    expect(await stores.events.head("stream")).toMatchObject({ version: 2 });
    expect(
      tx.end().appends.map(({ stream, version, events: added }) => [stream, version, added.length]),
    ).toEqual([
      ["stream", 2, 2],
      ["another", 0, 1],
    ]);
  });

  it("appended to twice at once behind one version grow once", async () => {
    const { tx } = await world();
    const appends = ["x", "y"].map((body) => tx.events.append("stream", 2, events(body)));

    expect((await Promise.all(appends)).map(({ isStored }) => isStored)).toEqual([true, false]);
  });

  it("are watched in the store", async () => {
    const { stores, tx } = await world();
    const grown: string[] = [];
    const stop = tx.events.watch((stream) => void grown.push(stream));
    await stores.events.append("stream", 2, events("c"));
    stop();

    expect(grown).toEqual(["stream"]);
  });
});

it("nothing is written through a transaction that has ended", async () => {
  const { tx } = await world();
  tx.end();

  await expect(tx.values.put("space", "late", "1")).rejects.toMatchObject({ code: "CLOSED" });
  await expect(tx.events.append("stream", 2, events("late"))).rejects.toMatchObject({ code: "CLOSED" });
});
