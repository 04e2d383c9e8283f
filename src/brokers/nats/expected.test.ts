import { describe, expect, it } from "vitest";
import type { ConsumerInfo } from "./api.ts";
import { Expected } from "./expected.ts";

function info(numbers: {
  delivered?: number;
  pending?: number;
  unacknowledged?: number;
  floor?: number;
  created?: string;
}) {
  return {
    created: numbers.created ?? "then",
    delivered: { consumer_seq: numbers.delivered ?? 0, stream_seq: 0 },
    ack_floor: { consumer_seq: 0, stream_seq: numbers.floor ?? 0 },
    num_pending: numbers.pending ?? 0,
    num_ack_pending: numbers.unacknowledged ?? 0,
  } as ConsumerInfo;
}

describe("what a consumer must still have", () => {
  it("is what waited, less what was delivered, and with what was published since", () => {
    const expected = new Expected();
    expected.seen(info({ pending: 10, delivered: 5 }), 0);
    for (let n = 0; n < 3; n++) expected.sent(expected.sending(), true);

    expect(expected.missing(info({ pending: 9, delivered: 9 }), expected.published)).toBe(0);
    expect(expected.missing(info({ pending: 3, delivered: 9 }), expected.published)).toBe(6);
  });

  it("is what the server says only where nothing was on its way meanwhile", () => {
    const expected = new Expected();
    const [quiet, earlier] = [expected.look(), expected.sending()];
    const during = expected.look();
    expect([expected.isTaken(quiet), expected.isTaken(during)]).toEqual([false, false]);
    expected.sent(earlier, true);
    expect([expected.isTaken(quiet), expected.isTaken(during)]).toEqual([false, false]);
    const after = expected.look();
    expect(expected.isTaken(after)).toBe(true);
    expected.seen(info({ pending: 1 }), 0);
    expect(expected.isTaken(after)).toBe(false);
  });

  it("is what the server says at last where something is always on its way", () => {
    const expected = new Expected();
    const taken = Array.from({ length: 10 }, () => {
      expected.sending();
      return expected.isTaken(expected.look());
    });
    expect(taken).toEqual([...Array.from({ length: 9 }, () => false), true]);
  });

  it("never counts what others have published or read as a loss", () => {
    const expected = new Expected();
    expected.seen(info({ pending: 10 }), 0);
    expect(expected.missing(info({ pending: 50 }), 0)).toBe(0);
    expect(expected.missing(info({ pending: 0, delivered: 25 }), 0)).toBe(0);
  });

  it("leaves out a publish that began before the last look", () => {
    const expected = new Expected();
    const epoch = expected.sending();
    expected.seen(info({ pending: 1 }), 0);
    expected.sent(epoch, true);
    expect(expected.published).toBe(0);
  });

  it("knows nothing of a consumer that was made again, but from where it began", () => {
    const expected = new Expected();
    expected.seen(info({ pending: 2, unacknowledged: 2, floor: 7 }), 0);
    const anew = info({ pending: 1, created: "now" });
    expect(expected.missing(anew, 0)).toBe(0);
    expect(expected.missingAnew(anew, 0)).toBe(3);
    expect(expected.floor).toBe(7);
  });

  it("is everything that was there where the stream is another one, told once", () => {
    const expected = new Expected();
    expected.seen(info({ pending: 2, unacknowledged: 1 }), 0);
    expected.sent(expected.sending(), true);
    expected.abandon();
    expect([expected.takeAbandoned(), expected.takeAbandoned()]).toEqual([4, 0]);
  });

  it("is nothing after messages were taken away on purpose", () => {
    const expected = new Expected();
    expected.seen(info({ pending: 10 }), 0);
    expected.forgive();
    expect(expected.missing(info({ pending: 0 }), 0)).toBe(0);
  });
});
