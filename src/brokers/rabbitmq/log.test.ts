import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { FakeClock, settlePromises } from "../../testing/fake-clock.ts";
import { Timers } from "../shared/timers.ts";
import { Log } from "./log.ts";
import type { Session } from "./session.ts";
import type { Letter, Writer } from "./writer.ts";

interface Entry {
  readonly n: number;
}

/** A log over a channel and a writer that do what the test says. */
async function scripted() {
  const clock = new FakeClock();
  const letters: Letter[] = [];
  const read: number[] = [];
  let listen: (message: object) => void = () => {};
  const channel = Object.assign(new EventEmitter(), {
    prefetch: () => Promise.resolve(),
    ack: () => {},
    consume: (_queue: string, listener: typeof listen) => Promise.resolve(void (listen = listener)),
    close: () => Promise.resolve(),
  });
  const consuming = {
    isUp: true,
    onUp: () => () => {},
    model: { createConfirmChannel: () => Promise.resolve(channel) },
  };
  const session = {
    links: { consuming },
    timers: new Timers(clock),
    settings: { commandTimeoutMs: 1000 },
  } as unknown as Session;
  const writer = { send: (letter: Letter) => void letters.push(letter) } as unknown as Writer;
  const log = new Log<Entry>({ session, writer, stream: "s", id: "me" }, ({ n }) => void read.push(n));
  await log.open();
  let offset = 0;
  const bring = (letter: Letter | undefined): void =>
    listen({
      content: Buffer.from(letter?.body ?? ""),
      properties: { headers: { "x-stream-offset": offset++ } },
    });
  const entriesOf = (letter: Letter | undefined): readonly number[] => {
    const { entries } = JSON.parse(Buffer.from(letter?.body ?? "").toString()) as {
      entries: readonly Entry[];
    };
    return entries.map(({ n }) => n);
  };
  return { log, clock, letters, read, bring, entriesOf };
}

describe("a log", () => {
  it("sends what comes while a message is on its way with the next one", async () => {
    const { log, letters, entriesOf } = await scripted();
    const stored = [1, 2].map((n) => log.store({ n }));
    await settlePromises();
    stored.push(...[3, 4, 5].map((n) => log.store({ n })));
    await settlePromises();
    expect(letters.map(entriesOf)).toEqual([[1, 2]]);

    letters[0]?.done(undefined, false);
    await settlePromises();
    expect(letters.map(entriesOf)).toEqual([
      [1, 2],
      [3, 4, 5],
    ]);
    letters[1]?.done(undefined, false);
    await Promise.all(stored);
  });

  it("tells whoever waits for it when its message was read, although another of the same message has given up", async () => {
    const { log, clock, letters, read, bring } = await scripted();
    const on = log.store({ n: 0 });
    await settlePromises();
    const early = log.append({ n: 1 });
    const gaveUp = expect(early).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    await clock.advanceAsync(900);
    const late = log.append({ n: 2 });
    await clock.advanceAsync(100);
    await gaveUp;

    letters[0]?.done(undefined, false);
    await on;
    await settlePromises();
    letters[1]?.done(undefined, false);
    bring(letters[0]);
    bring(letters[1]);
    await late;
    expect(read).toEqual([0, 1, 2]);
  });

  it("tells of what the server did not take to all of its message, and goes on", async () => {
    const { log, letters, entriesOf } = await scripted();
    const failing = [log.store({ n: 1 }), log.append({ n: 2 })].map((one) =>
      expect(one).rejects.toThrow("no"),
    );
    await settlePromises();
    const next = log.store({ n: 3 });
    letters[0]?.done(new Error("no"), false);
    await Promise.all(failing);
    expect(letters.map(entriesOf)).toEqual([[1, 2], [3]]);
    letters[1]?.done(undefined, false);
    await next;
  });
});
