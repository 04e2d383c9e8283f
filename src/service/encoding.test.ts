import { describe, expect, it } from "vitest";
import { world } from "../../test/support/agents.ts";
import type { PayloadCodec } from "../codec/codec.ts";
import type { Message } from "../core/message.ts";
import { defineChannel } from "./channel-definition.ts";
import type { MessagingServiceOptions } from "./options.ts";
import { settingsOf } from "./settings.ts";

const MSGPACK = "application/msgpack";
const long = { text: "x".repeat(5000), bytes: Uint8Array.of(1, 2) };
const json = { text: "x".repeat(5000) };

/** What a subscriber with no settings of its own gets of what a publisher with these publishes. */
async function received(
  options: Partial<MessagingServiceOptions>,
  payload: unknown = json,
): Promise<{ message: Message; bytes: number }> {
  const { agent } = world();
  const [publisher, subscriber] = [await agent("p", options), await agent("s")];
  const got: { message: Message; bytes: number }[] = [];
  await subscriber.subscribe(
    "orders.new",
    (message, { body }) => void got.push({ message, bytes: body.byteLength }),
  );
  await publisher.publish("orders.new", payload);
  await expect.poll(() => got).toHaveLength(1);
  return got[0] as { message: Message; bytes: number };
}

describe("one option", () => {
  it.each<[string, Partial<MessagingServiceOptions>]>([
    ["of the service", { contentType: MSGPACK, compression: "zstd" }],
    ["by channel", { codecs: { "orders.*": { contentType: MSGPACK, compression: "zstd" } } }],
    [
      "of the manifest, and one of the service",
      { messaging: { publishes: [{ channel: "orders.new", contentType: MSGPACK }] }, compression: "zstd" },
    ],
  ])("%s is enough: readers need none", async (_name, options) => {
    const { message, bytes } = await received(options, long);

    expect(message.payload).toEqual(long);
    expect(message.metadata).toMatchObject({ contentType: MSGPACK, contentEncoding: "zstd" });
    expect(bytes).toBeLessThan(200);
  });

  it.each(["gzip", "zstd", "snappy"] as const)("compresses with %s", async (compression) => {
    const { message, bytes } = await received({ compression });

    expect(message.payload).toEqual(json);
    expect(message.metadata.contentEncoding).toBe(compression);
    expect(bytes).toBeLessThan(1000);
  });

  it("of a channel's definition is enough, for publishers that use it", async () => {
    const { agent } = world();
    const service = await agent("a");
    const orders = defineChannel<unknown>("orders.new", { contentType: MSGPACK, compression: "gzip" });
    const got: Message[] = [];
    await service.subscribe(orders, (message) => void got.push(message));
    await service.publish(orders, long);
    await service.publish("orders.new", json);
    await expect.poll(() => got).toHaveLength(2);

    expect(got.map(({ payload }) => payload)).toEqual([long, json]);
    expect(got.map(({ metadata }) => metadata.contentType)).toEqual([MSGPACK, "application/json"]);
  });

  it("holds for commands and replies, too", async () => {
    const { agent } = world();
    const options = { contentType: MSGPACK, compression: { encoding: "zstd", thresholdBytes: 0 } } as const;
    const [asker, answerer] = [await agent("asker", options), await agent("answerer", options)];
    await answerer.registerCommandHandler("echo", (input) => input);

    expect(await asker.sendCommand("answerer", "echo", long)).toEqual(long);
    await expect(asker.sendCommand("answerer", "other", 1)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("keeps dead letters as they were, readable, and sends them back as they were", async () => {
    const { agent } = world();
    const service = await agent("a", {
      contentType: MSGPACK,
      compression: "gzip",
      retry: { maxAttempts: 1 },
    });
    let fails = true;
    const got: unknown[] = [];
    await service.subscribe("orders.new", ({ payload }) => {
      if (fails) throw new Error("no");
      got.push(payload);
    });
    await service.publish("orders.new", long, { id: "m" });
    await expect.poll(() => service.deadLetters.get("m")).toBeDefined();

    const entry = await service.deadLetters.get("m");
    expect(entry?.message?.payload).toEqual(long);
    expect(entry?.message?.metadata).toMatchObject({ contentType: MSGPACK, contentEncoding: "gzip" });
    expect(entry?.body.byteLength).toBeLessThan(300);
    fails = false;
    await service.deadLetters.redrive("m");
    await expect.poll(() => got).toEqual([long]);
  });

  it("lets a message be larger than the limit, as long as its readers restore it", async () => {
    const limits = { maxMessageBytes: 10_000, maxDecompressedBytes: 100_000 };
    const { agent } = world();
    const service = await agent("a", { compression: "zstd", limits });
    const got: unknown[] = [];
    await service.subscribe("c", ({ payload }) => void got.push(payload));

    await service.publish("c", "x".repeat(90_000));
    await expect.poll(() => got).toEqual(["x".repeat(90_000)]);
    await expect(service.publish("c", "x".repeat(200_000))).rejects.toMatchObject({
      code: "MESSAGE_TOO_LARGE",
    });
    const noise = Buffer.from(Uint8Array.from({ length: 20_000 }, () => Math.random() * 256));
    await expect(service.publish("c", noise)).rejects.toMatchObject({ code: "MESSAGE_TOO_LARGE" });
  });
});

describe("options that say how payloads are written", () => {
  const codec: PayloadCodec = {
    name: "x",
    encode: () => ({ body: new Uint8Array(), contentType: "" }),
    decode: () => 1,
  };

  it.each<[string, Partial<MessagingServiceOptions>]>([
    ["contentType", { contentType: "json" }],
    ["contentType", { contentType: "a/b\r\nc: d" }],
    ["contentType", { contentType: `a/${"b".repeat(200)}` }],
    ["contentType", { contentType: 5 as never }],
    ["compression", { compression: "brotli" as never }],
    ["compression", { compression: null as never }],
    ["compression", { compression: { encoding: "lz4" as never } }],
    ["compression.thresholdBytes", { compression: { encoding: "gzip", thresholdBytes: -1 } }],
    ["compression.level", { compression: { encoding: "gzip", level: 10 } }],
    ["compression.level", { compression: { encoding: "zstd", level: 22 } }],
    ["compression.level", { compression: { encoding: "zstd", level: 1.5 } }],
    ["compression.level", { compression: { encoding: "snappy", level: 1 } }],
    ["codecs", { codecs: null as never }],
    ["codecs", { codecs: { "a b": MSGPACK } }],
    ["codecs['a'].contentType", { codecs: { a: "nonsense" } }],
    ["codecs['a']", { codecs: { a: null as never } }],
    ["codecs['a'].codec", { codecs: { a: { codec: {} as never } } }],
    ["codecs['a'].codec", { codecs: { a: { codec, contentType: MSGPACK } } }],
    ["codecs['a'].compression", { codecs: { a: { compression: "zip" as never } } }],
    ["limits.maxDecompressedBytes", { limits: { maxDecompressedBytes: -1 } }],
  ])("and are wrong are INVALID_ARGUMENT, naming %s (%#)", (field, options) => {
    expect(() => settingsOf({ agentId: "a", ...options })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }),
    );
  });

  it("are wrong in a definition by the channel's name", () => {
    expect(() => defineChannel("a.b", { contentType: "x" })).toThrow(
      expect.objectContaining({ details: { field: "a.b.contentType" } }),
    );
  });

  it("may be a codec by itself, or with a compression", () => {
    const plan = { encoding: "zstd", thresholdBytes: 1024, level: undefined };
    const codecs = { a: codec, b: { codec, compression: "zstd" }, c: { compression: "none" } } as const;
    expect(settingsOf({ agentId: "a", codecs }).codecs.byPattern).toEqual([
      ["a", { format: codec }],
      ["b", { format: codec, compression: plan }],
      ["c", { compression: null }],
    ]);
  });

  it("let what is restored be as large as a message, unless more is said", () => {
    expect(settingsOf({ agentId: "a", limits: { maxMessageBytes: 5 } }).limits.maxDecompressedBytes).toBe(5);
  });
});
