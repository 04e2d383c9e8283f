import { describe, expect, it } from "vitest";
import { startOf, startOfUnit, startsOf, type StartParts } from "./start-from.ts";

const INBOXES = 20_000;
const PARTITIONS = 16;
const shared = { name: "ns.--shared", id: "shared-id" };

/** A namespace with many inboxes in one topic, whose partitions end at ten times their number. */
function parts(): StartParts {
  const names = Array.from({ length: INBOXES }, (_none, n) => `agent-${n}`);
  const ends = new Map(Array.from({ length: PARTITIONS }, (_none, at) => [at, at * 10]));
  return {
    cluster: { asOne: () => Promise.resolve(ends) },
    channels: {
      homeOf: (channel: string) => ({ channel, topic: shared.name, shared: true }),
      topicOf: () => Promise.resolve(shared),
      partitionsOf: ({ channel }: { channel: string }) => [Number(channel.slice(6)) % PARTITIONS],
    },
    directory: { channels: new Map(names.map((name) => [name, {}])) },
  } as unknown as StartParts;
}

describe("where a group begins", () => {
  it("is one place a partition for all channels that share a topic, however many they are", async () => {
    const starts = await startsOf(parts(), "agent-*", startOf("new"));

    expect(Object.keys(starts)).toEqual([shared.name]);
    expect(starts[shared.name]?.topicId).toBe(shared.id);
    expect(Object.keys(starts[shared.name]?.offsets ?? {})).toHaveLength(PARTITIONS);
    expect(JSON.stringify(starts).length).toBeLessThan(1000);
  });

  it("names for one channel the partition that it lies in", async () => {
    const starts = await startsOf(parts(), "agent-17", startOf("new"));
    expect(starts).toEqual({ [shared.name]: { topicId: shared.id, offsets: { "1": 10 } } });
  });

  it("is the place in the topic for every channel of it that the pattern covers", () => {
    const entry = {
      pattern: "agent-*",
      group: "g",
      starts: { [shared.name]: { topicId: shared.id, offsets: { "3": 30 } } },
    };
    const directory = { entriesOf: () => [entry] } as unknown as StartParts["directory"];
    const unit = { group: "g", channel: "agent-19", topic: shared.name, partition: 3, topicId: shared.id };

    expect(startOfUnit(directory, unit, undefined).offset).toBe(30);
    expect(startOfUnit(directory, { ...unit, topicId: "made anew" }, undefined).offset).toBe(0);
    expect(startOfUnit(directory, { ...unit, partition: 4 }, undefined).offset).toBe(0);
  });
});
