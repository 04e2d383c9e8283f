import { describe, expect, it } from "vitest";
import { createEnvelope } from "../../core/envelope.ts";
import { MemoryBroker } from "./broker.ts";

const envelope = (channel: string, id: string, body: Uint8Array = Buffer.alloc(100, "x")) =>
  createEnvelope({ id, channel, source: "test", time: 1, body });

async function retained(broker: MemoryBroker, channel: string): Promise<string[]> {
  return (await broker.admin.browse(channel, { limit: 100 })).map((stored) => stored.envelope.id);
}

describe("what is retained for replay", () => {
  it("over the byte limit, a channel that grows lets go of its own oldest, and others keep theirs", async () => {
    const broker = new MemoryBroker({ replayBytes: 500 });
    await broker.open();
    await broker.publish([envelope("quiet", "q1"), envelope("quiet", "q2")]);

    for (let n = 1; n <= 10; n++) await broker.publish([envelope("busy", `b${n}`)]);

    expect(await retained(broker, "quiet")).toEqual(["q1", "q2"]);
    expect(await retained(broker, "busy")).toEqual(["b8", "b9", "b10"]);
    await broker.close();
  });

  it("over the byte limit, channels with one envelope each lose them in turn", async () => {
    const broker = new MemoryBroker({ replayBytes: 500 });
    await broker.open();

    for (let n = 1; n <= 8; n++) await broker.publish([envelope(`channel-${n}`, `m${n}`)]);

    const left = await Promise.all(
      Array.from({ length: 8 }, (_none, at) => retained(broker, `channel-${at + 1}`)),
    );
    expect(left.flat()).toEqual(["m4", "m5", "m6", "m7", "m8"]);
    await broker.close();
  });

  it("a dead letter has bytes of its own: it does not keep the buffer of its neighbours alive", async () => {
    const broker = new MemoryBroker();
    await broker.open();
    await broker.admin.declare("dlq.a", { retentionMs: 1000 });
    const shared = Buffer.alloc(64 * 1024, "y");

    await broker.publish([envelope("dlq.a", "dead", shared.subarray(0, 10))]);

    const [stored] = await broker.admin.browse("dlq.a", { limit: 1 });
    expect(stored?.envelope.body.buffer.byteLength).toBe(10);
    expect(stored?.envelope.body).toEqual(new Uint8Array(shared.subarray(0, 10)));
    await broker.close();
  });
});
