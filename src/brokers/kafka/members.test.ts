import { describe, expect, it } from "vitest";
import { decodeAll, decodeInfo, encodeAll, encodeInfo, Members, type MemberInfo } from "./members.ts";

const PARTITIONS = 6;

/** The partitions that each of some processes handles of channel `c` for group `g`. */
function shares(infos: Readonly<Record<string, MemberInfo>>): Record<string, number[]> {
  const table = new Map(Object.entries(infos));
  return Object.fromEntries(
    Object.keys(infos).map((me) => {
      const members = new Members(me, table);
      const all = Array.from({ length: PARTITIONS }, (_none, partition) => partition);
      return [me, all.filter((partition) => members.isMine("g", "c", partition))];
    }),
  );
}

const reads = (held: MemberInfo["held"] = {}): MemberInfo => ({ groups: { g: ["c"] }, held });

describe("who handles what", () => {
  it("is everybody's the same answer, and an equal share of each", () => {
    const found = shares({ a: reads(), b: reads(), c: reads() });

    expect(Object.values(found).map(({ length }) => length)).toEqual([2, 2, 2]);
    expect(Object.values(found).flat().toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it("is nobody's while its holder has not given it up", () => {
    const found = shares({ a: reads({ g: "*" }), b: reads() });

    expect(found["a"]).toHaveLength(3);
    expect(found["b"]).toEqual([]);
  });

  it("is taken over one by one", () => {
    const given = shares({ a: reads(), b: reads() })["b"] as number[];
    const kept = `c ${given[0]}`;

    expect(shares({ a: reads({ g: [kept] }), b: reads() })["b"]).toEqual(given.slice(1));
  });

  it("leaves out those who do not subscribe to the channel", () => {
    const found = shares({ a: reads(), b: { groups: { g: ["other"], h: ["c"] }, held: {} } });

    expect(found).toEqual({ a: [0, 1, 2, 3, 4, 5], b: [] });
  });

  it("is all of the only process, whatever it has said", () => {
    expect(shares({ a: { groups: {}, held: {} } })["a"]).toHaveLength(PARTITIONS);
  });

  it("is not what the others have not heard", () => {
    expect(shares({ a: { groups: {}, held: {} }, b: { groups: {}, held: {} } })).toEqual({ a: [], b: [] });
  });

  it("is not the only subscriber's while one who has left still has something of it", () => {
    const left: MemberInfo = { groups: {}, held: { g: ["c 2"] } };
    expect(shares({ a: reads(), b: left })["a"]).toEqual([0, 1, 3, 4, 5]);
  });

  it("is contested when another has a group that was held as a whole", () => {
    const table = new Map([
      ["a", reads({ g: "*" })],
      ["b", reads()],
    ]);

    expect(new Members("a", table).contested).toEqual(["g"]);
    expect(new Members("b", table).contested).toEqual([]);
  });
});

it("what processes say of themselves comes through", () => {
  const info = reads({ g: ["c 1"] });

  expect(decodeInfo(encodeInfo(info))).toEqual(info);
  const said = encodeInfo(info);
  expect(decodeAll(encodeAll([["a", said]]))).toEqual(new Map([["a", said]]));
  expect(decodeAll(Buffer.alloc(0)).size).toBe(0);
});
