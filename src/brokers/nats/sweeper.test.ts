import { describe, expect, it } from "vitest";
import { FakeClock } from "../../testing/fake-clock.ts";
import { Timers } from "../shared/timers.ts";
import type { ConsumerInfo } from "./api.ts";
import type { Consumers } from "./consumers.ts";
import { Reader, type Member, type ReaderHost } from "./reader.ts";
import type { Session } from "./session.ts";
import { Sweeper } from "./sweeper.ts";
import { Topology } from "./topology.ts";

function info(created: string, pending: number) {
  return {
    created,
    delivered: { consumer_seq: 0, stream_seq: 0 },
    ack_floor: { consumer_seq: 0, stream_seq: 0 },
    num_pending: pending,
    num_ack_pending: 0,
    num_waiting: 0,
  } as ConsumerInfo;
}

/** One reader of a consumer that had four messages waiting, and a sweeper whose questions are answered by hand. */
function swept() {
  const clock = new FakeClock();
  const timers = new Timers(clock);
  const reader = new Reader({ pattern: "c", group: "g", consumer: "g" }, {
    clock,
    timers,
  } as unknown as ReaderHost);
  reader.members.add({} as Member);
  reader.expected.seen(info("then", 4), 0);
  reader.stands();
  const topology = new Topology([]);
  topology.add(reader);
  const asked: ((answer: ConsumerInfo) => void)[] = [];
  const session = {
    link: { isUp: true },
    api: { consumer: () => new Promise((resolve) => void asked.push(resolve)) },
    names: { stream: "s" },
    settings: { sweepMs: 1000 },
    clock,
    timers,
  } as unknown as Session;
  new Sweeper(session, topology, {} as Consumers).start();
  return { clock, reader, asked };
}

const settled = () => new Promise((resolve) => void setImmediate(resolve));

describe("a look at a consumer", () => {
  it("is what is expected from then on", async () => {
    const { clock, reader, asked } = swept();
    clock.advance(50);
    asked[0]?.(info("then", 5));
    await settled();
    expect(reader.expected.missing(info("then", 0), 0)).toBe(5);
  });

  it("is not taken, nor another one made, while the consumer is made again: what was there before is still to be counted", async () => {
    const { clock, reader, asked } = swept();
    clock.advance(50);
    reader.doubt(true);
    asked[0]?.(info("now", 1));
    await settled();
    clock.advance(2000);
    await settled();

    expect(asked).toHaveLength(1);
    expect(reader.expected.missingAnew(info("now", 1), 1)).toBe(4);
  });
});
