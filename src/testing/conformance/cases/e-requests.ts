import assert from "node:assert/strict";
import { HeraldError } from "../../../core/errors.ts";
import type { Message } from "../../../core/message.ts";
import type { CaseContext } from "../context.ts";
import type { RecordedService } from "../recorded-service.ts";
import type { ConformanceCase } from "../case.ts";

/** A request that is written into the history like a publish. */
async function ask(
  context: CaseContext,
  service: RecordedService,
  channel: string,
  payload: unknown,
): Promise<unknown> {
  const id = context.nextId();
  context.history.add({ type: "pub.invoke", id, channel });
  const reply = await service.port.request(channel, payload, { id, timeoutMs: 60_000 });
  context.history.add({ type: "pub.ok", id });
  return reply;
}

async function manyRequests(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const agentId = context.agent("responder");
  const shares = Array.from({ length: 10 }, () => 0);
  for (const at of shares.keys()) {
    const responder = await context.service({ agentId });
    await responder.port.subscribe(channel, (message: Message) => {
      const { id, payload } = message;
      context.history.add({ type: "start", id, group: agentId, attempt: 1, consumer: `r${at}` });
      shares[at] = (shares[at] ?? 0) + 1;
      context.history.add({ type: "commit.ok", id, group: agentId });
      return { double: (payload as { n: number }).n * 2 };
    });
  }
  const requester = await context.service({ agentId: context.agent("requester") });
  const total = context.count(10_000, 2000);

  const replies = await Promise.all(
    Array.from({ length: total }, (_none, n) => ask(context, requester, channel, { n })),
  );

  const firstWrong = replies.findIndex((reply, n) => (reply as { double?: number }).double !== n * 2);
  assert.equal(firstWrong, -1, "every request must resolve with its own reply");
  assert.ok(!shares.includes(0), `every responder must get a share: ${shares.join(" ")}`);
}

async function timeouts(context: CaseContext): Promise<void> {
  const [nowhere, slow] = [context.channel("nowhere"), context.channel("slow")];
  const requester = await context.service({ agentId: context.agent("requester") });
  const missing = await context.codeOf(requester.port.request(nowhere, {}, { timeoutMs: context.unitMs }));
  assert.match(missing, /^(NO_RESPONDER|TIMEOUT)$/);

  const responder = await context.service({ agentId: context.agent("responder") });
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  await responder.port.subscribe(slow, async ({ payload }: Message) => {
    if (payload === "slow") await gate;
    return payload;
  });
  assert.equal(
    await context.codeOf(requester.port.request(slow, "slow", { timeoutMs: context.unitMs })),
    "TIMEOUT",
  );
  const next = requester.port.request(slow, "next", { timeoutMs: 60_000 });
  release();

  assert.equal(await context.time.drive(next), "next", "a late reply is never given to another request");
  await context.until(() => requester.port.getMetrics().lateReplies === 1, "the late reply to be counted");
}

async function commands(context: CaseContext): Promise<void> {
  const target = context.agent("target");
  const responder = await context.service({ agentId: target });
  await responder.port.registerCommandHandler("add", (input) => {
    const { a, b } = input as { a: number; b: number };
    return { sum: a + b };
  });
  await responder.port.registerCommandHandler("fail", () => {
    throw new HeraldError("FORBIDDEN", "not you");
  });
  const caller = await context.service({ agentId: context.agent("caller") });
  const send = (command: string, input: unknown) =>
    caller.port.sendCommand(target, command, input, { timeoutMs: 60_000 });

  assert.deepEqual(await context.time.drive(send("add", { a: 2, b: 3 })), { sum: 5 });
  assert.equal(
    await context.codeOf(send("fail", {})),
    "FORBIDDEN",
    "the responder's code reaches the caller",
  );
  assert.equal(await context.codeOf(send("unknown", {})), "NOT_FOUND");
  const nobody = caller.port.sendCommand(context.agent("nobody"), "add", {}, { timeoutMs: context.unitMs });
  assert.match(await context.codeOf(nobody), /^(NO_RESPONDER|TIMEOUT)$/);
}

/** Requests and commands. */
export const requestCases: readonly ConformanceCase[] = [
  {
    id: "e01-request-reply",
    group: "E",
    title: "ten thousand requests at once over ten responders each resolve with their own reply",
    needs: ["groups", "broadcast"],
    longLeases: true,
    acked: 10_000,
    run: manyRequests,
  },
  {
    id: "e02-reply-timeout",
    group: "E",
    title: "a request that nobody answers is a timeout, and a late reply is counted and given to nobody",
    needs: ["broadcast"],
    stepped: true,
    acked: 0,
    run: timeouts,
  },
  {
    id: "e-commands",
    group: "E",
    title: "a command resolves with its handler's result or rejects with its handler's code",
    needs: ["wildcard", "broadcast"],
    stepped: true,
    acked: 0,
    run: commands,
  },
];
