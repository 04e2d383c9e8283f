import { describe, expect, it } from "vitest";
import { world } from "../../test/support/agents.ts";
import type { EncodedPayload, PayloadCodec } from "../codec/codec.ts";
import { plainCopy } from "../codec/plain.ts";
import { HeraldError } from "../core/errors.ts";
import { settlePromises } from "../testing/fake-clock.ts";

/** A codec that must ask somebody first, who answers when the test says so; afterwards it encodes at once. */
class AskingCodec implements PayloadCodec {
  readonly name = "asking";
  readonly #answer = Promise.withResolvers<void>();
  #knows = false;
  /** What is in the payload fails to be encoded. */
  readonly #fails: (payload: unknown) => boolean;

  constructor(fails: (payload: unknown) => boolean = () => false) {
    this.#fails = fails;
  }

  answer(): void {
    this.#knows = true;
    this.#answer.resolve();
  }

  encode(payload: unknown): EncodedPayload | Promise<EncodedPayload> {
    const held = plainCopy(payload, 64);
    return this.#knows ? this.#write(held) : this.#answer.promise.then(() => this.#write(held));
  }

  decode({ body }: { readonly body: Uint8Array }): unknown {
    const read = (): unknown => JSON.parse(Buffer.from(body).toString()) as unknown;
    return this.#knows ? read() : this.#answer.promise.then(read);
  }

  #write(payload: unknown): EncodedPayload {
    if (this.#fails(payload)) throw new HeraldError("SCHEMA_VIOLATION", "No.");
    return { body: Buffer.from(JSON.stringify(payload)), contentType: "application/x-asked" };
  }
}

describe("a codec that must ask somebody first", () => {
  it("lets nothing overtake on its channel, and holds up no other", async () => {
    const { agent } = world();
    const codec = new AskingCodec();
    const service = await agent("a", { codecs: { "slow.*": codec } });
    const got: unknown[] = [];
    for (const channel of ["slow.a", "slow.b", "fast"])
      await service.subscribe(channel, ({ payload }) => void got.push(`${channel} ${String(payload)}`));

    const sent = [1, 2].map((n) => service.publish("slow.a", n));
    await service.publish("fast", 1);
    codec.answer();
    // Encoded at once, and called before the first two have left.
    sent.push(service.publish("slow.a", 3), service.publish("slow.b", 1));
    await Promise.all(sent);
    sent.push(service.publish("slow.a", 4));
    await Promise.all(sent);

    await expect.poll(() => got).toHaveLength(6);
    expect(got.filter((one) => String(one).startsWith("slow.a"))).toEqual(
      [1, 2, 3, 4].map((n) => `slow.a ${n}`),
    );
    expect(got[0]).toBe("fast 1");
  });

  it("publishes what the payload was when it was published", async () => {
    const { agent } = world();
    const codec = new AskingCodec();
    const service = await agent("a", { codecs: { c: codec } });
    const got: unknown[] = [];
    await service.subscribe("c", ({ payload }) => void got.push(payload));

    const payload = { n: 1 };
    const sent = service.publish("c", payload);
    payload.n = 2;
    codec.answer();
    await sent;

    await expect.poll(() => got).toEqual([{ n: 1 }]);
  });

  it("that fails for one message fails for no other, wherever it stands", async () => {
    const { agent } = world();
    const codec = new AskingCodec((payload) => payload === "bad");
    const service = await agent("a", { codecs: { c: codec } });
    const got: unknown[] = [];
    await service.subscribe("c", ({ payload }) => void got.push(payload));

    const sent = ["a", "bad", "b"].map((text) =>
      service.publish("c", text).then(
        () => "sent",
        (error: HeraldError) => error.code,
      ),
    );
    codec.answer();

    expect(await Promise.all(sent)).toEqual(["sent", "SCHEMA_VIOLATION", "sent"]);
    await expect.poll(() => got).toEqual(["a", "b"]);
  });

  it("keeps no more waiting than publishes may wait", async () => {
    const { agent } = world();
    const codec = new AskingCodec();
    const service = await agent("a", { codecs: { c: codec }, maxPendingPublishes: 2 });

    const sent = [1, 2, 3].map((n) => service.publish("c", n).catch((error: HeraldError) => error.code));
    expect(await sent[2]).toBe("OVERLOADED");
    codec.answer();

    expect(await Promise.all(sent)).not.toContain(undefined);
    await expect(service.publish("c", 4)).resolves.toEqual(expect.any(String));
  });

  it("is waited for when the service stops: what was published before leaves", async () => {
    const { agent, broker } = world();
    const codec = new AskingCodec();
    const service = await agent("a", { codecs: { c: codec } });
    const other = await agent("b");
    await broker.admin.declare("c", { retentionMs: 60_000 });

    const sent = service.publish("c", 1, { id: "m" });
    const stopped = service.stop();
    await settlePromises();
    codec.answer();

    expect(await sent).toBe("m");
    await stopped;
    expect(other.isRunning).toBe(true);
    expect((await broker.admin.browse("c", { limit: 10 })).map(({ envelope }) => envelope.id)).toEqual(["m"]);
  });

  it("asks and answers requests as any other", async () => {
    const { agent } = world();
    const codec = new AskingCodec();
    const options = { codecs: { "agent.#": codec } };
    const [asker, answerer] = [await agent("asker", options), await agent("answerer", options)];
    await answerer.registerCommandHandler("double", (n: number) => n * 2);

    const answer = asker.sendCommand("answerer", "double", 21);
    await settlePromises();
    codec.answer();

    expect(await answer).toBe(42);
    expect(await asker.sendCommand("answerer", "double", 4)).toBe(8);
  });

  it("reads as late as it writes, and what it cannot read is a dead letter", async () => {
    const { agent } = world();
    const codec = new AskingCodec();
    const reader = await agent("a", { codecs: { c: codec }, retry: { maxAttempts: 1 } });
    const got: unknown[] = [];
    await reader.subscribe("c", ({ payload }) => void got.push(payload));
    const writer = await agent("b");

    await writer.publish("c", { n: 1 });
    await writer.publish("c", Buffer.from("{"), { id: "broken" });
    await settlePromises();
    expect(got).toEqual([]);
    codec.answer();

    await expect.poll(() => got).toEqual([{ n: 1 }]);
    await expect
      .poll(() => reader.deadLetters.get("broken"))
      .toMatchObject({ code: "MALFORMED", attempts: 1 });
  });
});

describe("an exactly-once handler whose publishes must wait for their codec", () => {
  const exactlyOnce = { defaultDeliveryGuarantee: "exactly-once" } as const;

  it("publishes them in order, under ids of their own, once all are encoded; what cannot be is left out", async () => {
    const { agent } = world();
    const codec = new AskingCodec((payload) => payload === "bad");
    const service = await agent("a", { ...exactlyOnce, codecs: { out: codec } });
    const got: [string, unknown][] = [];
    await service.subscribe("out", ({ id, payload }) => void got.push([id, payload]), { group: "reader" });
    const refused: unknown[] = [];
    await service.subscribe("in", async () => {
      // It waits for none of them.
      for (const text of ["a", "bad", "b"])
        void service.publish("out", text).catch((error: HeraldError) => refused.push(error.code));
      await service.publish("plain", "c");
    });

    await service.publish("in", 1, { id: "cause" });
    await settlePromises();
    expect(got).toEqual([]);
    codec.answer();

    await expect.poll(() => got.map(([, payload]) => payload)).toEqual(["a", "b"]);
    expect(refused).toEqual(["SCHEMA_VIOLATION"]);
    expect(new Set(got.map(([id]) => id)).size).toBe(2);
    await expect.poll(() => service.getMetrics().handled).toBe(3);
  });

  it("has no effect when its time is up before they are encoded", async () => {
    const { agent, clock } = world();
    const codec = new AskingCodec();
    const options = {
      ...exactlyOnce,
      codecs: { out: codec },
      handlerTimeoutMs: 100,
      retry: { maxAttempts: 1 },
    };
    const service = await agent("a", options);
    let came = 0;
    await service.subscribe("out", () => void came++, { group: "reader" });
    await service.subscribe("in", () => void service.publish("out", 1));

    await service.publish("in", 1, { id: "m" });
    await settlePromises();
    await clock.advanceAsync(101);
    codec.answer();
    await settlePromises();

    await expect.poll(() => service.deadLetters.get("m")).toMatchObject({ code: "HANDLER_TIMEOUT" });
    expect(came).toBe(0);
  });
});
