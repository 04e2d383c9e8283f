import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import type { Subscription } from "../../../core/broker.ts";
import type { Envelope } from "../../../core/envelope.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";

const KIB = 1024;

/** Of a thousand, four are as large as a message may be, twenty are large, the rest is small. */
function bodyOf(at: number, maxBodyBytes: number): Uint8Array {
  const largest = Math.min(KIB * KIB - 1, maxBodyBytes);
  const size = at % 250 === 249 ? largest : at % 50 === 48 ? 64 * KIB : [0, 1, KIB][at % 3];
  return new Uint8Array(size ?? 0).fill(at % 251);
}

function assertSame(got: Envelope, sent: Envelope): void {
  assert.ok(Buffer.from(got.body).equals(sent.body), `the body of ${sent.id} must arrive byte for byte`);
  assert.equal(
    Math.floor(got.time),
    Math.floor(sent.time),
    `the time of ${sent.id} must arrive to the millisecond`,
  );
  const rest = ({ body: _body, time: _time, headers, ...fields }: Envelope) => ({
    ...fields,
    headers: { ...headers },
  });
  assert.deepEqual(rest(got), rest(sent));
}

async function roundtrip(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const sent = context.envelopes(channel, context.count(1000, 250), (at) => ({
    body: bodyOf(at, context.capabilities.maxBodyBytes),
    headers: at % 4 === 0 ? {} : { "x-number": String(at), "x-text": "Grüße, 世界 🎉" },
    contentType: at % 5 === 0 ? "application/octet-stream" : "application/json",
    contentEncoding: at % 10 === 0 ? "x-none" : undefined,
    key: `k${at}`,
    type: at % 2 === 0 ? "event" : undefined,
    to: "somebody",
    correlationId: `c-${at}`,
    causationId: `cause-${at}`,
    replyTo: "reply.here",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    hops: at % 3,
    origin: "external",
    provenance: "sha256:abc",
  }));

  await context.publish(...sent);
  const got = await context.drain(subscription, sent.length);

  const byId = new Map(got.map(({ envelope }) => [envelope.id, envelope]));
  for (const envelope of sent)
    assertSame(byId.get(envelope.id) ?? assert.fail(`${envelope.id} is missing`), envelope);
}

async function manyToMany(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const total = context.count(5000, 500);
  const subscriptions: Subscription[] = [];
  for (let n = 0; n < 50; n++) subscriptions.push(await context.subscribe(channel, { prefetch: 10 }));
  let handled = 0;
  const consume = async (subscription: Subscription): Promise<number> => {
    let share = 0;
    while (handled < total) {
      const deliveries = await context.poll(subscription, 2);
      await turn();
      await context.ack(subscription, deliveries);
      share += deliveries.length;
      handled += deliveries.length;
    }
    return share;
  };
  const publish = async (writer: number) => {
    const mine = Math.floor(total / 50) + (writer < total % 50 ? 1 : 0);
    for (let n = 0; n < mine; n++) {
      await context.publish(context.envelope(channel, { id: context.nextId(`w${writer}`) }));
      await turn();
    }
  };

  const consuming = Promise.all(subscriptions.map(consume));
  consuming.catch(() => {});
  await Promise.all(Array.from({ length: 50 }, (_none, writer) => publish(writer)));
  const shares = await consuming;

  assert.equal(handled, total);
  assert.equal(
    shares.filter((share) => share === 0).length,
    0,
    `no consumer may starve: ${shares.join(" ")}`,
  );
}

async function isolation(context: CaseContext): Promise<void> {
  const each = context.count(100);
  const channels = Array.from({ length: 20 }, (_none, at) => context.channel(`n${at}`));
  const subscriptions = await Promise.all(channels.map((channel) => context.subscribe(channel)));

  await Promise.all(channels.map((channel) => context.publish(...context.envelopes(channel, each))));

  const total = each * channels.length;
  let handled = 0;
  const consume = async (subscription: Subscription, at: number) => {
    while (handled < total) {
      const deliveries = await context.poll(subscription, 100, 10);
      await context.ack(subscription, deliveries);
      handled += deliveries.length;
      for (const { envelope } of deliveries) strays += envelope.channel === channels[at] ? 0 : 1;
    }
  };
  let strays = 0;
  await Promise.all(subscriptions.map(consume));
  assert.deepEqual([handled, strays], [total, 0]);
}

async function positional(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const tooLarge = new Uint8Array(context.capabilities.maxBodyBytes + 1);
  const sent = context.envelopes(channel, 9, (at) => (at % 4 === 1 ? { body: tooLarge } : {}));

  const results = await context.broker.publish(sent);

  const got = await context.drain(subscription, 7);
  const codes = results.map((result) => (result.ok ? "ok" : result.error.code));
  const big = "MESSAGE_TOO_LARGE";
  assert.deepEqual(codes, ["ok", big, "ok", "ok", "ok", big, "ok", "ok", "ok"]);
  const expected = sent.filter((_envelope, at) => at % 4 !== 1).map(({ id }) => id);
  assert.deepEqual(got.map(({ envelope }) => envelope.id).toSorted(), expected.toSorted());
  await context.nothing(subscription);
}

async function definiteRefusal(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const sent = context.envelopes(channel, context.count(500, 100));
  let stored = 0;
  for (let from = 0; from < sent.length; from += 10) {
    const results = await context.broker.publish(sent.slice(from, from + 10));
    stored += results.filter(({ ok }) => ok).length;
  }

  await context.drain(subscription, stored);

  await context.nothing(subscription);
}

async function noPhantom(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const first = await context.subscribe(channel, context.has("replay") ? { from: "earliest" } : {});
  await context.nothing(first);
  const total = context.count(100);
  await context.publish(...context.envelopes(channel, total));
  await context.drain(first, total);
  await context.nothing(first);

  const reopened = await context.another();
  const second = await reopened.subscribe({ pattern: channel, group: "g", prefetch: 100 });

  await context.nothing(second);
}

async function nobodySubscribed(context: CaseContext): Promise<void> {
  const channel = context.channel();

  await context.publish(...context.envelopes(channel, 10));

  const subscription = await context.subscribe(channel);
  await context.nothing(subscription);
  await context.publish(context.envelope(channel));
  await context.drain(subscription, 1);
}

async function liveAtOnce(context: CaseContext): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const channel = context.channel(`r${round}`);
    const subscription = await context.subscribe(channel);
    await context.publish(context.envelope(channel));
    await context.drain(subscription, 1);
    await subscription.close();
  }
}

/** Publishing and receiving. */
export const basicCases: readonly ConformanceCase[] = [
  {
    id: "a01-roundtrip",
    group: "A",
    title: "body, headers, id, key, time and every other attribute arrive as they were published",
    acked: 1000,
    run: roundtrip,
  },
  {
    id: "a03-many-to-many",
    group: "A",
    title:
      "fifty publishers and fifty consumers of one group handle every message once, and no consumer starves",
    longLeases: true,
    acked: 5000,
    run: manyToMany,
  },
  {
    id: "a04-isolation",
    group: "A",
    title: "messages of twenty channels do not cross",
    longLeases: true,
    acked: 2000,
    run: isolation,
  },
  {
    id: "a09-no-phantom",
    group: "A",
    title: "nothing is handed out that was not published, also when the broker is opened again",
    stepped: true,
    acked: 100,
    run: noPhantom,
  },
  {
    id: "a-positional-results",
    group: "A",
    title: "a batch reports each failure in its place and stores the others",
    stepped: true,
    acked: 7,
    run: positional,
  },
  {
    id: "a-definite-refusal",
    group: "A",
    title: "what a publish reports as refused is never handed out",
    stepped: true,
    acked: 500,
    run: definiteRefusal,
  },
  {
    id: "a-nobody-subscribed",
    group: "A",
    title: "a channel that nobody subscribed to accepts messages, and a new group gets none of them",
    stepped: true,
    acked: 11,
    run: nobodySubscribed,
  },
  {
    id: "a-live-at-once",
    group: "A",
    title: "whatever is published after subscribe() has resolved is seen",
    acked: 20,
    run: liveAtOnce,
  },
];
