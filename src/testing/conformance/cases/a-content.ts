import assert from "node:assert/strict";
import type { Message } from "../../../core/message.ts";
import { seededRandom } from "../../random.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";

/** What JSON carries: it must arrive equal. */
const CARRIED: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1.5e-7,
  1e21,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_VALUE,
  "9007199254740993",
  "",
  "plain",
  "Grüße, 世界, שלום, e\u0301",
  "🎉👩‍👩‍👧‍👦\u{10FFFF}",
  '\u0000\u001f\u007f\u2028\u2029\ufeff"\\/',
  [],
  {},
  [null, [[]], { a: [{}] }],
  { "": 1, " ": 2, "a.b": 3, "🎉": 4, length: 5, toString: 6 },
  { nested: { deep: { deeper: [1, "2", null, false] } } },
];

/** What JSON cannot carry, or only changed: it must be refused, or arrive equal. */
const DOUBTFUL: readonly unknown[] = [
  -0,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  { n: Number.NEGATIVE_INFINITY },
  2 ** 53 + 2,
  10n,
  "\ud800",
  "\udfff tail",
  { "\ud800": 1 },
  Buffer.from([0, 255, 128]),
  new Uint8Array([1, 2, 3]),
  { inside: new Uint8Array([1, 2, 3]) },
  new Map([["a", 1]]),
  new Set([1]),
  [() => 1],
  Symbol("s"),
  undefined,
  JSON.parse('{"__proto__":{"isAdmin":true}}') as unknown,
  nested(10_000),
  circular(),
];

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let n = 0; n < depth; n++) value = [value];
  return value;
}

function circular(): unknown {
  const value: Record<string, unknown> = {};
  value["self"] = value;
  return value;
}

async function fidelity(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service();
  const received = new Map<string, Message>();
  await service.subscribe(channel, (message) => void received.set(message.id, message));
  const accepted = new Map<string, unknown>();

  for (const payload of CARRIED)
    accepted.set(await service.publish(channel, payload, { headers: {} }), payload);
  for (const payload of DOUBTFUL) {
    const id = context.nextId();
    const code = await context.codeOf(service.publish(channel, payload, { id }));
    if (code === "it did not reject") accepted.set(id, payload);
    else
      assert.match(
        code,
        /^(UNSERIALIZABLE|UNSAFE_PAYLOAD|DEPTH_LIMIT)$/,
        `refusing ${typeof payload} must have a name`,
      );
  }

  await context.until(
    () => received.size >= accepted.size,
    () => `${accepted.size} messages; ${received.size} came`,
  );
  for (const [id, payload] of accepted) assertEqual(received.get(id)?.payload, payload);
}

/** Deeply equal, bytes by their content whatever class they come in. */
function assertEqual(got: unknown, sent: unknown): void {
  if (sent instanceof Uint8Array)
    assert.ok(got instanceof Uint8Array && Buffer.from(got).equals(sent), "bytes must stay bytes");
  else assert.deepStrictEqual(got, sent);
}

async function atMostOnce(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const agentId = context.agent();
  const killed = await context.service({ agentId });
  const total = context.count(200);
  let started = 0;
  const options = { guarantee: "at-most-once", maxConcurrency: 20 } as const;
  await killed.subscribe(
    channel,
    async (_message, { signal }) => {
      started++;
      if (started % 3 === 0) throw new Error("the handler fails");
      // These hang until the service gives them up.
      if (started % 10 === 0)
        await new Promise<void>((resolve) =>
          signal.addEventListener("abort", () => resolve(), { once: true }),
        );
    },
    options,
  );
  for (let n = 0; n < total; n++) await service(killed, channel, n);
  await context.until(
    () => started >= Math.min(total, 50),
    () => `handlers to start; ${started} did`,
  );

  await context.time.drive(killed.port.stop({ gracePeriodMs: context.unitMs }));
  const next = await context.service({ agentId });
  await next.subscribe(channel, () => {}, options);
  await service(next, channel, total);

  await context.until(
    () => context.history.events.at(-1)?.type === "commit.ok",
    "the last message to be handled",
  );
}

async function service(
  on: { publish(channel: string, payload: unknown): Promise<string> },
  channel: string,
  n: number,
) {
  await on.publish(channel, { n });
}

async function atLeastOnce(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service({
    retry: { maxAttempts: 100, backoff: { strategy: "constant", initialDelayMs: 1 } },
  });
  const handled = new Set<string>();
  const random = seededRandom(42);
  await service.subscribe(channel, ({ id }) => {
    if (random() < 0.4) throw new Error("the handler fails two times in five");
    handled.add(id);
  });
  const total = context.count(1000, 100);

  await Promise.all(Array.from({ length: total }, (_none, n) => service.publish(channel, { n })));

  await context.until(
    () => handled.size === total,
    () => `${total} messages to be handled; ${handled.size} were`,
  );
}

async function publishOutcome(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const faulty = context.flaky();
  const service = await context.service({ faulty });
  const handled = new Set<string>();
  await service.subscribe(channel, ({ id }) => void handled.add(id));
  faulty.inject({ on: "publish", fault: "refuse", every: 7 });
  faulty.inject({ on: "publish", fault: "unknown", every: 11 });
  const codes = new Set<string>();
  const acknowledged = new Set<string>();

  for (let n = 0; n < context.count(500, 100); n++) {
    const id = context.nextId();
    const code = await context.codeOf(service.publish(channel, { n }, { id }));
    if (code === "it did not reject") acknowledged.add(id);
    else codes.add(code);
  }

  assert.deepEqual(
    [...codes].toSorted(),
    ["OVERLOADED", "TIMEOUT"],
    "a refusal is definite, a lost answer is TIMEOUT",
  );
  await context.until(
    () => [...acknowledged].every((id) => handled.has(id)),
    "what was acknowledged to be handled",
  );
}

async function batch(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const service = await context.service();
  const handled = new Set<string>();
  await service.subscribe(channel, ({ id }) => void handled.add(id));
  const total = context.count(1000, 100);
  const isWrong = (at: number) => at % 100 === 37;
  const tooLarge = "x".repeat(context.capabilities.maxBodyBytes + 1);
  const payloadAt = (at: number) => (isWrong(at) ? (at % 200 === 37 ? tooLarge : 10n) : { at });

  const results = await service.publishBatch(
    Array.from({ length: total }, (_none, at) => ({ channel, payload: payloadAt(at) })),
  );

  assert.equal(results.length, total);
  const codes = results.map((result) => (result.ok ? "ok" : result.error.code));
  const expected = codes.map((_code, at) =>
    isWrong(at) ? (at % 200 === 37 ? "MESSAGE_TOO_LARGE" : "UNSERIALIZABLE") : "ok",
  );
  assert.deepEqual(codes, expected);
  const stored = codes.filter((code) => code === "ok").length;
  await context.until(
    () => handled.size >= stored,
    () => `${stored} messages to be handled; ${handled.size} were`,
  );
  assert.equal(handled.size, stored);
}

/** What publishers and handlers see through the runtime. */
export const contentCases: readonly ConformanceCase[] = [
  {
    id: "a02-content-fidelity",
    group: "A",
    title: "every payload arrives equal or is refused at publish, never changed in silence",
    acked: CARRIED.length,
    run: fidelity,
  },
  {
    id: "a06-at-most-once",
    group: "A",
    title: "under at-most-once a handler that fails or is killed is not started again",
    check: { guarantee: "at-most-once", complete: false },
    acked: 200,
    run: atMostOnce,
  },
  {
    id: "a07-at-least-once",
    group: "A",
    title: "a handler that fails two times in five ends up handling every message",
    needs: ["nackDelay"],
    longLeases: true,
    acked: 1000,
    run: atLeastOnce,
  },
  {
    id: "a08-publish-outcome",
    group: "A",
    title: "a failed publish is a definite refusal or TIMEOUT, and what was refused is never delivered",
    acked: 350,
    faults: 50,
    run: publishOutcome,
  },
  {
    id: "a10-batch",
    group: "A",
    title: "a batch of a thousand reports exactly those that were stored",
    acked: 980,
    run: batch,
  },
];
