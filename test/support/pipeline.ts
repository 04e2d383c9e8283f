import type { ChildProcess } from "node:child_process";
import { expect } from "vitest";
import type { MessagingService } from "../../src/service/service.ts";
import { HOPS, type PipelineOrder, type Travelling } from "./child-pipeline.ts";
import { runChild, type Deadline } from "./killed.ts";

const program = "child-pipeline.ts";

/** How a process of the pipeline is killed. */
export interface Death {
  readonly deadline: Deadline;
  readonly more?: Partial<PipelineOrder>;
}

/** What goes through the pipeline, and who dies meanwhile. */
export interface Passage {
  readonly place: PipelineOrder["place"];
  readonly messages: number;
  /** Messages that come before each pair of deaths. */
  readonly chunk: number;
  readonly deaths: () => readonly [Death, Death];
  readonly withinMs: number;
  /** Told what is to be done when the test ends. */
  readonly after: (task: () => unknown) => void;
}

/** How long everything may take. */
export const withinMs = (messages: number): number => 300_000 + 20 * messages;

/**
 * Sends messages through three hops whose processes die, and one that lives at the end; asserts that each came out once, with the
 * value that the hops make of it. Resolves to the number of deaths. `service` is at both ends.
 */
export async function throughPipeline(service: MessagingService, passage: Passage): Promise<number> {
  const { place, messages, chunk } = passage;
  for (const { from } of HOPS) await service.broker.ensureGroup(from, "hops");
  const out = new Map<number, number[]>();
  await service.subscribe<Travelling>("out", ({ payload: { n, value } }) => {
    out.set(n, [...(out.get(n) ?? []), value]);
  });
  const order: PipelineOrder = { place };
  let kills = 0;
  for (let from = 0; from < messages; from += chunk) {
    const inputs = Array.from({ length: Math.min(chunk, messages - from) }, (_none, at) => ({
      channel: "in",
      payload: { n: from + at, value: (from + at) * 7 },
      options: { id: `in-${from + at}` },
    }));
    expect((await service.publishBatch(inputs)).every(({ ok }) => ok)).toBe(true);
    const pair = passage
      .deaths()
      .map(({ deadline, more }) => runChild({ ...order, ...more }, deadline, { program }));
    for (const { signal, stderr } of await Promise.all(pair)) {
      expect([signal, stderr]).toEqual(["SIGKILL", ""]);
      kills++;
    }
  }
  let last: ChildProcess | undefined;
  const finishing = runChild(order, undefined, { program, onStart: (child) => void (last = child) });
  passage.after(() => (last?.kill("SIGKILL"), finishing));
  await expect.poll(() => out.size, { timeout: passage.withinMs }).toBe(messages);
  for (const [channel, group] of [
    ...HOPS.map(({ from }) => [from, "hops"] as const),
    ["out", "ends"] as const,
  ])
    await expect.poll(() => service.getConsumerLag({ channel, group })).toMatchObject([{ lag: 0 }]);

  for (let n = 0; n < messages; n++) {
    const expected = HOPS.reduce((value, { change }) => change(value), n * 7);
    if (out.get(n)?.join() !== String(expected)) expect([n, out.get(n)]).toEqual([n, [expected]]);
  }
  return kills;
}
