import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { channelOf, directoryTopic, hashOf, repliesTopic, sharedTopic, topicOf } from "./names.ts";

const channel = fc.stringMatching(/^[A-Za-z0-9_:-]{1,12}(\.[A-Za-z0-9_:-]{1,12}){0,3}$/);

describe("the topic of a channel", () => {
  it("is the channel's name, read back without a loss, in characters that Kafka takes", () => {
    fc.assert(
      fc.property(channel, (name) => {
        const topic = topicOf("ns", name) ?? "";
        expect(topic).toMatch(/^ns\.[A-Za-z0-9.-]+$/);
        expect(channelOf("ns", topic)).toBe(name);
      }),
    );
  });

  it("differs from another's in more than '.' and '_', which Kafka takes for the same", () => {
    expect(topicOf("ns", "a_b")).toBe("ns.a--ub");
    expect(topicOf("ns", "a.b")).toBe("ns.a.b");
    expect(topicOf("ns", "q:r--s")).toBe("ns.q--cr----s");
  });

  it("is none when it would be too long", () => {
    expect(topicOf("ns", "_".repeat(100))).toBeUndefined();
    expect(topicOf("ns", "x".repeat(200))).toBe(`ns.${"x".repeat(200)}`);
  });

  it("is never one of those that are no channel's", () => {
    for (const topic of [directoryTopic("ns"), sharedTopic("ns"), repliesTopic("ns"), "other.a"])
      expect(channelOf("ns", topic)).toBeUndefined();
  });
});

it("a hash is the same everywhere", () => {
  expect([hashOf(""), hashOf("a"), hashOf("agent-7")]).toEqual([2166136261, 3826002220, hashOf("agent-7")]);
});
