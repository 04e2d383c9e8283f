import type { Channel, Message } from "amqplib";
import { describe, expect, it } from "vitest";
import { Acks } from "./acks.ts";

/** Acknowledgements over a channel that notes what it is told: a number, and whether all before it are meant too. */
function noting() {
  const told: string[] = [];
  const channel = {
    ack: ({ fields }: Message, multiple = false) =>
      void told.push(`${multiple ? "up to " : ""}${fields.deliveryTag}`),
  };
  const acks = new Acks(channel as unknown as Channel);
  const brought = (first: number, last: number): void => {
    for (let tag = first; tag <= last; tag++) acks.brought(tag);
  };
  const end = async (...tags: number[]): Promise<string[]> => {
    for (const tag of tags) acks.ack(tag);
    await Promise.resolve();
    return told.splice(0);
  };
  return { acks, told, brought, end };
}

describe("acknowledgements of one turn", () => {
  it("are one word where nothing before them is out, in whatever order they end", async () => {
    const { brought, end } = noting();
    brought(1, 6);

    expect(await end(2, 1, 3)).toEqual(["up to 3"]);
    expect(await end(4)).toEqual(["up to 4"]);
    expect(await end(6, 5)).toEqual(["up to 6"]);
  });

  it("never cover what is still out", async () => {
    const { brought, end } = noting();
    brought(1, 8);

    expect(await end(2, 3)).toEqual(["2", "3"]);
    expect(await end(5, 1, 6)).toEqual(["up to 1", "5", "6"]);
    expect(await end(7, 8)).toEqual(["7", "8"]);
    brought(9, 10);
    expect(await end(10)).toEqual(["10"]);
    expect(await end(4)).toEqual(["up to 4"]);
    expect(await end(9)).toEqual(["up to 9"]);
  });

  it("never cover what the server has brought to somebody who is gone", async () => {
    const { brought, end } = noting();
    brought(1, 2);
    brought(4, 5);

    expect(await end(1, 2)).toEqual(["up to 2"]);
    expect(await end(4, 5)).toEqual(["4", "5"]);
  });

  it("are written at once when somebody is about to ask whether they were carried out", () => {
    const { acks, told, brought } = noting();
    brought(1, 2);
    acks.ack(1);
    expect(told).toEqual([]);
    acks.flush();
    acks.flush();

    expect(told).toEqual(["up to 1"]);
  });

  it("over a channel that is lost fail nobody: everything comes again", async () => {
    const lost = {
      ack() {
        throw new Error("Channel closed");
      },
    };
    const acks = new Acks(lost as unknown as Channel);
    acks.brought(1);
    acks.ack(1);
    await Promise.resolve();

    expect(() => acks.flush()).not.toThrow();
  });
});
