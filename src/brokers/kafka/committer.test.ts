import { describe, expect, it } from "vitest";
import { systemClock } from "../../core/clock.ts";
import type { Cluster } from "./cluster.ts";
import { Committer, type Committing } from "./committer.ts";

interface Request {
  readonly group: string;
  readonly offsets: readonly number[];
  readonly answer: () => void;
  readonly fail: () => void;
}

/** A committer over a coordinator that answers when it is told to. */
function bench() {
  const requests: Request[] = [];
  const cluster = {
    clock: systemClock,
    kafka: { offsetCommitV8: { api: {} } },
    knownCoordinator: () => 1,
    forgetCoordinator: () => undefined,
    callNow: (_node: number, _api: unknown, ...[group, , , , topics]: unknown[]) =>
      new Promise<void>((resolve, reject) => {
        const parts = topics as { readonly partitions: readonly { readonly committedOffset: bigint }[] }[];
        const offsets = parts.flatMap(({ partitions }) =>
          partitions.map(({ committedOffset }) => Number(committedOffset)),
        );
        requests.push({
          group: group as string,
          offsets,
          answer: resolve,
          fail: () => reject(new Error("cut off")),
        });
      }),
  };
  const committer = new Committer(cluster as unknown as Cluster);
  return { committer, requests };
}

/** A place that moves on. */
function place(kafkaGroup: string, partition = 0): Committing & { offset: number } {
  return {
    kafkaGroup,
    topic: "t",
    partition,
    offset: 0,
    state() {
      return { offset: this.offset, metadata: "" };
    },
  };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("places of groups", () => {
  it("are written in the turn in which they change, all of a group in one request", () => {
    const { committer, requests } = bench();
    const [one, two, other] = [place("g", 0), place("g", 1), place("h")];
    for (const [at, what] of [one, two, other].entries()) {
      what.offset = at + 1;
      committer.mark(what);
    }

    committer.now();

    expect(requests.map(({ group, offsets }) => [group, offsets])).toEqual([
      ["g", [1, 2]],
      ["h", [3]],
    ]);
  });

  it("go with the next request when a group has two under way, as they are then", async () => {
    const { committer, requests } = bench();
    const what = place("g");
    for (let offset = 1; offset <= 5; offset++) {
      what.offset = offset;
      committer.mark(what);
      committer.now();
    }
    expect(requests.map(({ offsets }) => offsets)).toEqual([[1], [2]]);

    requests[0]?.answer();
    await turn();

    expect(requests.map(({ offsets }) => offsets)).toEqual([[1], [2], [5]]);
  });

  it("are known to be written when the request that holds them is answered, whatever becomes of other groups", async () => {
    const { committer, requests } = bench();
    const [mine, other] = [place("g"), place("h")];
    committer.mark(other);
    committer.mark(mine);
    let isWritten = false;
    const written = committer.written([mine]).then(() => (isWritten = true));
    await turn();
    expect(isWritten).toBe(false);

    requests.find(({ group }) => group === "g")?.answer();

    await written;
    await expect(committer.written([])).resolves.toBeUndefined();
  });

  it("that could not be written are told of, and written again", async () => {
    const { committer, requests } = bench();
    const what = place("g");
    what.offset = 7;
    committer.mark(what);
    const written = committer.written([what]);
    requests[0]?.fail();

    await expect(written).rejects.toMatchObject({ code: "NOT_CONNECTED" });
    await new Promise<void>((resolve) => {
      const look = (): void => void (requests.length > 1 ? resolve() : setTimeout(look, 5));
      look();
    });
    expect(requests[1]?.offsets).toEqual([7]);
    requests[1]?.answer();
    await committer.settled();
  });
});
