import assert from "node:assert/strict";
import { RejectError } from "../../../core/errors.ts";
import type { Message } from "../../../core/message.ts";
import type { CaseContext } from "../context.ts";
import type { RecordedService } from "../recorded-service.ts";
import type { ConformanceCase } from "../case.ts";

/** A service whose handlers reject while `isBad` says so, and what has been handled. */
async function failing(context: CaseContext, channels: readonly string[]) {
  const service = await context.service();
  const state = { isBad: true, handled: [] as string[], attempts: [] as number[] };
  for (const channel of channels) {
    await service.subscribe(channel, ({ id }, { attempt }) => {
      if (state.isBad) throw new RejectError("not now");
      state.handled.push(id);
      state.attempts.push(attempt);
    });
  }
  return { service, state };
}

async function letters(service: RecordedService, channels: readonly string[]) {
  return (await service.deadLetters(channels)).map(({ id }) => id).toSorted();
}

async function redriveHalf(context: CaseContext): Promise<void> {
  const [first, second] = [context.channel("first"), context.channel("second")];
  const { service, state } = await failing(context, [first, second]);
  const each = context.count(100);
  for (let n = 0; n < each; n++)
    await Promise.all([service.publish(first, { n }), service.publish(second, { n })]);
  await context.until(
    async () => (await service.deadLetters([first, second])).length === each * 2,
    "every dead letter",
  );
  const [mine, others] = [await letters(service, [first]), await letters(service, [second])];
  state.isBad = false;

  assert.equal(await service.redrive({ channel: first }), each);

  await context.until(
    () => state.handled.length >= each,
    () => `${each} messages to be handled; ${state.handled.length} were`,
  );
  assert.deepEqual(state.handled.toSorted(), mine, "each is handled once");
  assert.ok(
    state.attempts.every((attempt) => attempt === 1),
    "attempts begin anew",
  );
  assert.deepEqual(await letters(service, [first]), []);
  assert.deepEqual(await letters(service, [second]), others, "the others stay untouched");
}

async function redriveOne(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const { service, state } = await failing(context, [channel]);
  const bystander = await context.service({ agentId: context.agent("bystander") });
  const seen: string[] = [];
  await bystander.subscribe(channel, ({ id }) => void seen.push(id));
  const ids = [await service.publish(channel, 1), await service.publish(channel, 2)];
  await context.until(async () => (await service.deadLetters([channel])).length === 2, "two dead letters");

  // It fails again: the second letter says that it was sent back before.
  const [id = "", other = ""] = ids;
  assert.equal(await service.redrive(id), 1);
  await context.until(
    async () => (await service.port.deadLetters.get(id))?.redriven === 1,
    "the dead letter to return",
  );
  assert.equal((await service.port.deadLetters.get(other))?.redriven, 0);
  state.isBad = false;
  assert.equal(await service.redrive(id), 1);
  await context.until(() => state.handled.length === 1, "the message to be handled");

  assert.deepEqual([state.handled, await letters(service, [channel])], [[id], [other]]);
  assert.deepEqual(seen, ids, "the group that had handled it does not handle it again");
  assert.equal(await context.codeOf(service.port.deadLetters.redrive("nobody-0")), "NOT_FOUND");
}

async function purge(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const { service } = await failing(context, [channel]);
  const ids: string[] = [];
  for (let n = 0; n < 10; n++) ids.push(await service.publish(channel, { n }));
  await context.until(async () => (await service.deadLetters([channel])).length === 10, "ten dead letters");
  service.recordDeadLetters((await service.deadLetters([channel])).slice(0, 4));
  const { total } = await service.port.deadLetters.stats();

  for (const id of (await service.deadLetters([channel])).slice(0, 3).map((letter) => letter.id)) {
    assert.equal(await service.port.deadLetters.purge(id), 1);
  }
  const { id: last } = (await service.deadLetters([channel]))[0] ?? assert.fail();
  assert.equal(await service.port.deadLetters.purge({ id: last }), 1);

  assert.equal((await service.port.deadLetters.stats()).total, total - 4);
  assert.equal((await service.deadLetters([channel])).length, 6);
}

async function asChannel(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const agentId = context.agent();
  const service = await context.service({ agentId });
  await service.subscribe(channel, () => {
    throw new RejectError("the reason");
  });
  const found: Message[] = [];
  const operator = await context.service({ agentId: context.agent("operator") });
  await operator.subscribe(`dlq.${agentId}`, (message) => void found.push(message));

  const id = await service.publish(channel, { n: 1 }, { headers: { "x-mine": "kept" } });
  await context.until(() => found.length === 1, "the dead letter on its channel");

  const [letter] = found;
  assert.deepEqual([letter?.id, letter?.payload], [id, { n: 1 }], "the original message");
  const { headers } = letter?.metadata ?? {};
  assert.deepEqual(
    ["x-mine", "x-dlq-channel", "x-dlq-group", "x-dlq-reason", "x-dlq-attempts"].map(
      (name) => headers?.[name],
    ),
    ["kept", channel, agentId, "the reason", "1"],
  );
}

async function unavailable(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const faulty = context.flaky();
  const service = await context.service({ faulty });
  let starts = 0;
  await service.subscribe(channel, () => {
    starts++;
    throw new RejectError("never");
  });
  faulty.inject({ on: "publish", fault: "refuse", channel: "dlq.#" });

  await service.publish(channel, {});
  await context.until(() => faulty.injected >= 2, "the dead letter to be refused twice", 60_000);
  assert.equal((await service.deadLetters([channel])).length, 0);
  faulty.heal();
  context.history.add({ type: "heal" });

  // The message stays where it is until its dead letter can be written: nothing is dropped.
  await context.until(
    async () => (await service.deadLetters([channel])).length === 1,
    "the dead letter",
    60_000,
  );
  assert.ok(starts >= 2);
  await context.time.elapse(context.unitMs * 10);
  assert.equal((await service.deadLetters([channel])).length, 1);
}

async function conservation(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const agentId = context.agent();
  const service = await context.service({
    agentId,
    retry: { maxAttempts: 2, backoff: { initialDelayMs: 1 } },
  });
  const handler = (message: Message) => {
    const { n } = message.payload as { n: number };
    if (n % 5 === 0) throw new RejectError("never");
    if (n % 5 === 1) throw new Error("always");
  };
  // What expires must not be handled first: the group exists, and nobody reads.
  await (await service.subscribe(channel, handler)).unsubscribe();
  const total = context.count(200, 50);
  for (let n = 0; n < total; n++) await service.publish(channel, { n }, n % 5 === 2 ? { ttlSeconds: 1 } : {});
  await context.time.elapse(1500);

  await service.subscribe(channel, handler, { expiredToDlq: false });

  const done = () => {
    const { handled, deadLettered, expired } = service.port.getMetrics();
    return handled + deadLettered + expired >= total;
  };
  await context.until(done, () => `every message to end: ${JSON.stringify(service.port.getMetrics())}`);
  // An outcome is counted before its settlement has reached the broker.
  if (context.has("lag"))
    await context.until(async () => (await context.lag(channel, agentId)) === 0, "every settlement");
  const { published, handled, deadLettered, expired } = service.port.getMetrics();
  const pending = context.has("lag") ? { pending: (await context.lag(channel, agentId)) ?? -1 } : {};
  context.history.add({
    type: "counters",
    group: agentId,
    acked: published - deadLettered,
    handled,
    deadLettered,
    expired,
    ...pending,
  });
}

/** Messages that are given up on. */
export const deadLetterCases: readonly ConformanceCase[] = [
  {
    id: "c08-dlq-replay",
    title: "a hundred of two hundred dead letters are sent back, and each is handled once",
    acked: 200,
    run: redriveHalf,
  },
  {
    id: "c-dlq-redrive-one",
    title:
      "one dead letter goes back to the group that gave it up and to no other, and says how often it was sent back",
    acked: 2,
    run: redriveOne,
  },
  {
    id: "c-dlq-purge",
    title: "dead letters are counted and can be forgotten one by one",
    acked: 10,
    run: purge,
  },
  {
    id: "c-dlq-channel",
    title: "the dead-letter channel gives the original message with the reason in its headers",
    acked: 1,
    run: asChannel,
  },
  {
    id: "c09-dlq-of-dlq",
    title: "a message whose dead letter cannot be written stays until it can",
    acked: 1,
    faults: 2,
    run: unavailable,
  },
  {
    id: "c-conservation",
    title: "every acknowledged message ends handled, dead-lettered or expired, by the product's own counts",
    needs: ["admin", "groups", "nackDelay"] as const,
    acked: 200,
    check: { maxAttempts: 2 },
    run: conservation,
  },
].map((one) => ({ group: "C", stepped: true, needs: ["admin"] as const, ...one }));
