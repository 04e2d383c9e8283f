import assert from "node:assert/strict";
import { RejectError, SnoozeError } from "../../../core/errors.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";
import { Lateness } from "../lateness.ts";

async function oneAtATime(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service();
  let [running, most, handled] = [0, 0, 0];
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  await service.subscribe(
    channel,
    async () => {
      most = Math.max(most, ++running);
      await gate;
      running--;
      handled++;
    },
    { maxConcurrency: 1 },
  );
  const total = context.count(50);

  await Promise.all(Array.from({ length: total }, (_none, n) => service.publish(channel, { n })));
  await context.until(() => running === 1, "the first message to start");
  await context.time.elapse(context.unitMs);
  assert.equal(running, 1, "the second message waits until the first is settled");
  open();

  await context.until(
    () => handled === total,
    () => `${total} messages to be handled; ${handled} were`,
  );
  assert.equal(most, 1);
}

/** When each attempt of each message started, on monotonic time. */
async function startTimes(context: CaseContext, jitter: boolean, count: number): Promise<number[][]> {
  const channel = context.channel(jitter ? "jitter" : "plain");
  const backoff = {
    strategy: "exponential",
    initialDelayMs: context.unitMs,
    multiplier: 2,
    maxDelayMs: context.unitMs * 100,
    jitter,
  } as const;
  const service = await context.service({
    agentId: context.agent(jitter ? "jitter" : "plain"),
    retry: { maxAttempts: 6, backoff },
  });
  const times = new Map<string, number[]>();
  await service.subscribe(channel, ({ id }) => {
    const starts = times.get(id) ?? [];
    times.set(id, starts);
    starts.push(context.time.clock.monotonic());
    throw new Error("the handler fails");
  });
  for (let n = 0; n < count; n++) await service.publish(channel, { n });
  const done = () => times.size === count && [...times.values()].every(({ length }) => length === 6);
  await context.until(done, "six attempts of every message", context.unitMs * 60);
  return [...times.values()];
}

async function backoff(context: CaseContext): Promise<void> {
  // Where time must be waited for, a machine under load is late, never early.
  using lateness = new Lateness(context.time);
  const latest = (ms: number) => ms * 1.2 + (context.time.isStepped ? 0 : lateness.limit(250));
  const [plain] = await startTimes(context, false, 1);
  const delays = (starts: readonly number[]) => starts.slice(1).map((at, n) => at - (starts[n] ?? 0));
  const expected = [1, 2, 4, 8, 16].map((factor) => factor * context.unitMs);
  for (const [n, delay] of delays(plain ?? []).entries()) {
    const wanted = expected[n] ?? 0;
    assert.ok(
      delay >= wanted - 1 && delay <= latest(wanted),
      `attempt ${n + 2} came after ${delay} ms, not ${wanted}`,
    );
  }

  const spread = await startTimes(context, true, 100);
  const firsts = spread.map((starts) => delays(starts)[0] ?? 0);
  assert.ok(
    new Set(firsts.map(Math.round)).size > 10,
    "with jitter the waits of a hundred messages are not all equal",
  );
  for (const delay of firsts) {
    assert.ok(
      delay >= context.unitMs * 0.8 - 1 && delay <= latest(context.unitMs),
      `jitter made the first wait ${delay} ms`,
    );
  }
}

async function maxAttempts(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const agentId = context.agent();
  const service = await context.service({
    agentId,
    retry: { maxAttempts: 3, backoff: { initialDelayMs: context.unitMs } },
  });
  const attempts: number[] = [];
  await service.subscribe(channel, (_message, { attempt }) => {
    attempts.push(attempt);
    throw new Error(`no ${attempt}`);
  });
  const before = Math.floor(context.time.clock.now());

  const id = await service.publish(
    channel,
    { n: 1, text: "Grüße" },
    { headers: { "x-mine": "kept" }, partitionKey: "k" },
  );
  await context.until(async () => (await service.deadLetters([channel])).length > 0, "the dead letter");
  await context.time.elapse(context.unitMs * 20);

  assert.deepEqual(attempts, [1, 2, 3]);
  const letters = await service.deadLetters([channel]);
  assert.equal(letters.length, 1);
  const letter = letters[0] ?? assert.fail();
  assert.deepEqual(
    {
      id: letter.id,
      channel: letter.channel,
      group: letter.group,
      attempts: letter.attempts,
      code: letter.code,
    },
    { id, channel, group: agentId, attempts: 3, code: "HANDLER_FAILED" },
  );
  assert.equal(Buffer.from(letter.body).toString(), '{"n":1,"text":"Grüße"}', "the original bytes");
  assert.equal(letter.headers["x-mine"], "kept");
  assert.deepEqual(
    letter.failures.map(({ attempt, message }) => `${attempt} ${message}`),
    ["1 no 1", "2 no 2", "3 no 3"],
  );
  const [first, , last] = letter.failures.map(({ at }) => Math.floor(at));
  assert.deepEqual([Math.floor(letter.firstFailedAt), Math.floor(letter.lastFailedAt)], [first, last]);
  assert.ok(
    (first ?? 0) >= before && (last ?? 0) - (first ?? 0) >= context.unitMs * 3 - 2,
    "first and last failure lie two waits apart",
  );
}

async function rejected(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service({ retry: { maxAttempts: 5, backoff: { initialDelayMs: 1 } } });
  let starts = 0;
  await service.subscribe(channel, () => {
    starts++;
    throw new RejectError("never this one");
  });
  const total = context.count(20);

  for (let n = 0; n < total; n++) await service.publish(channel, { n });
  await context.until(
    async () => (await service.deadLetters([channel])).length === total,
    "every dead letter",
  );
  await context.time.elapse(context.unitMs);

  assert.equal(starts, total);
  const letters = await service.deadLetters([channel]);
  assert.ok(letters.every(({ code, attempts }) => code === "REJECTED" && attempts === 1));
}

async function snoozed(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service({ retry: { maxAttempts: 2 } });
  const attempts: number[] = [];
  const at: number[] = [];
  await service.subscribe(channel, (_message, { attempt }) => {
    attempts.push(attempt);
    at.push(context.time.clock.monotonic());
    if (attempts.length <= 4) throw new SnoozeError(context.unitMs);
  });

  await service.publish(channel, {});
  await context.until(() => attempts.length === 5, "the message to come after four snoozes");

  if (context.has("exactAttempts")) assert.deepEqual(attempts, [1, 1, 1, 1, 1], "a snooze is no attempt");
  for (let n = 1; n < at.length; n++)
    assert.ok((at[n] ?? 0) - (at[n - 1] ?? 0) >= context.unitMs - 1, "a snooze lasts as long as it says");
  assert.equal((await service.deadLetters([channel])).length, 0);
}

async function manual(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service({ retry: { maxAttempts: 3, backoff: { initialDelayMs: 1 } } });
  const starts: string[] = [];
  const names = ["ack", "nack", "dead"];
  await service.subscribe(
    channel,
    ({ payload }, { attempt }) => void starts.push(`${String(payload)}#${attempt}`),
    { ack: "manual", group: "unsettled", maxConcurrency: 100 },
  );
  await service.subscribe(
    channel,
    ({ payload }, handling) => {
      starts.push(`${String(payload)}!${handling.attempt}`);
      if (payload === "dead") handling.nack({ requeue: false });
      else if (payload === "nack" && handling.attempt === 1) handling.nack({ delayMs: context.unitMs });
      else handling.ack();
    },
    { ack: "manual" },
  );

  for (const name of names) await service.publish(channel, name);
  await context.until(
    async () => starts.includes("nack!2") && (await service.deadLetters([channel])).length === 1,
    "every decision to take effect",
  );

  const settled = starts.filter((start) => start.includes("!")).toSorted();
  assert.deepEqual(settled, ["ack!1", "dead!1", "nack!1", "nack!2"]);
  const held = starts.filter((start) => start.includes("#")).toSorted();
  assert.deepEqual(held, ["ack#1", "dead#1", "nack#1"], "what is neither acked nor nacked stays out");
}

/** What cannot be read: bytes and media type. */
const UNREADABLE: readonly (readonly [string, Uint8Array])[] = [
  ["not JSON", Buffer.from("{not json")],
  ["half a message", Buffer.from('{"a":[1,2')],
  ["nothing", Buffer.alloc(0)],
  ["no text", Buffer.from([0xff, 0xfe, 0x00, 0x80])],
  ["too deep", Buffer.from("[".repeat(100_000) + "]".repeat(100_000))],
  ["a prototype", Buffer.from('{"__proto__":{"isAdmin":true}}')],
  ["a number that is too large", Buffer.from('{"n":1e400}')],
];

async function unreadable(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service({ retry: { maxAttempts: 3 } });
  const handled: string[] = [];
  await service.subscribe(channel, ({ id }) => void handled.push(id));
  const bad = UNREADABLE.map(([, body]) =>
    context.envelope(channel, { body, headers: { "x-mine": "kept" } }),
  );

  await context.publish(...bad);
  const good = await service.publish(channel, { good: true });
  await context.until(
    async () => (await service.deadLetters([channel])).length >= bad.length && handled.length > 0,
    "dead letters, and the good message",
  );

  assert.deepEqual(handled, [good], "no handler starts for what cannot be read, and the consumer goes on");
  const letters = new Map((await service.deadLetters([channel])).map((letter) => [letter.id, letter]));
  for (const [at, { id, body }] of bad.entries()) {
    const letter = letters.get(id) ?? assert.fail(`${UNREADABLE[at]?.[0]} is not among the dead letters`);
    assert.ok(Buffer.from(letter.body).equals(body), `${UNREADABLE[at]?.[0]}: the original bytes`);
    assert.equal(letter.headers["x-mine"], "kept");
    assert.match(letter.code, /^(MALFORMED|DEPTH_LIMIT|UNSAFE_PAYLOAD)$/);
  }
}

/** What a handler's word does. */
export const retryCases: readonly ConformanceCase[] = [
  {
    id: "c01-noack-blocks",
    title: "with a concurrency of one the second message does not start before the first is settled",
    acked: 50,
    run: oneAtATime,
  },
  {
    id: "c04-backoff",
    title: "the waits before attempts two to six follow the policy, and jitter spreads them",
    needs: ["nackDelay"] as const,
    acked: 101,
    check: { maxAttempts: 6 },
    run: backoff,
  },
  {
    id: "c05-max-attempts",
    title:
      "after its last attempt a message is one dead letter, with original bytes, headers and every error",
    needs: ["nackDelay", "admin"] as const,
    acked: 1,
    check: { maxAttempts: 3 },
    run: maxAttempts,
  },
  {
    id: "c06-nonretryable",
    title: "a rejected message is a dead letter after one start",
    needs: ["admin"] as const,
    acked: 20,
    run: rejected,
  },
  {
    id: "c-snooze",
    title: "a snoozed message comes again later and not as another attempt",
    needs: ["nackDelay", "admin"] as const,
    acked: 1,
    run: snoozed,
  },
  {
    id: "c-manual",
    title: "a handler in manual mode acks, nacks with a delay, or sends to the dead letters",
    needs: ["nackDelay", "admin"] as const,
    acked: 3,
    check: { complete: false },
    run: manual,
  },
  {
    id: "c11-unparsable",
    title:
      "bytes that cannot be read become dead letters as they came, no handler starts, and the consumer goes on",
    needs: ["admin"] as const,
    acked: UNREADABLE.length + 1,
    run: unreadable,
  },
].map((one) => ({ group: "C", stepped: true, ...one }));
