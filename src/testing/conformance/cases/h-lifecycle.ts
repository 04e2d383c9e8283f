import assert from "node:assert/strict";
import { FakeClock } from "../../fake-clock.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";

async function openTwice(context: CaseContext): Promise<void> {
  assert.equal(await context.codeOf(context.broker.open()), "ALREADY_EXISTS");

  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  await context.publish(context.envelope(channel));
  await context.drain(subscription, 1);
}

async function closedForGood(context: CaseContext): Promise<void> {
  const broker = await context.another();
  const channel = context.channel();
  const spec = { pattern: channel, group: "g", prefetch: 10 };
  const subscription = await broker.subscribe(spec);
  await broker.publish([context.envelope(channel)]);
  const [delivery] = await context.take(subscription, 1);

  await broker.close();
  await broker.close();

  assert.equal(await context.codeOf(broker.publish([context.envelope(channel)])), "CLOSED");
  assert.equal(await context.codeOf(broker.subscribe(spec)), "CLOSED");
  const received = await subscription
    .receive(1, 0)
    .catch((error: unknown) => (error as { code?: string }).code);
  assert.ok(
    received === "CLOSED" || (Array.isArray(received) && received.length === 0),
    "nothing is handed out after close",
  );
  // Nobody is there to hear it: neither an error nor a hang.
  await context.time.drive(
    subscription.settle([{ kind: "nack", delivery: delivery ?? assert.fail(), delayMs: 0 }]),
  );
  await context.time.drive(subscription.close());
  const report = await broker.inspect().catch(() => ({ state: "down" }));
  assert.equal(report.state, "down");
}

async function closeUnderLoad(context: CaseContext): Promise<void> {
  const { clock } = context.time;
  // What the case's own broker, which stays open, waits for.
  const before = clock instanceof FakeClock ? clock.pending : 0;
  const broker = await context.another();
  const channel = context.channel();
  const subscription = await broker.subscribe({ pattern: channel, group: "g", prefetch: 100 });
  const total = context.count(500, 50);
  const publishing = context
    .envelopes(channel, total)
    .map((envelope) => broker.publish([envelope]).catch((error: unknown) => error));
  const waiting = subscription.receive(10, 3_600_000);
  const idle = await broker.subscribe({ pattern: `${channel}.idle`, group: "g", prefetch: 1 });
  const idling = idle.receive(1, 3_600_000);

  await context.time.drive(Promise.all([broker.close(), broker.close()]));

  for (const answer of await context.time.drive(Promise.all(publishing))) {
    if (answer instanceof Error) assert.equal((answer as { code?: string }).code, "CLOSED");
  }
  await context.time.drive(waiting.catch(() => []));
  assert.deepEqual(
    await context.time.drive(idling.catch(() => [])),
    [],
    "a waiting receive ends when the broker closes",
  );
  if (clock instanceof FakeClock) assert.ok(clock.pending <= before, "a closed broker holds no timer");
}

async function closingWakes(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const { clock } = context.time;
  const before = clock.monotonic();
  const waiting = subscription.receive(1, 3_600_000);

  await subscription.close();
  await subscription.close();

  assert.deepEqual(await context.time.drive(waiting), []);
  assert.ok(clock.monotonic() - before < 5000, "closing wakes a waiting receive");
}

async function closingReleases(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const leaving = await context.subscribe(channel, { prefetch: 50 });
  const staying = await context.subscribe(channel, { prefetch: 50 });
  await context.publish(...context.envelopes(channel, 40));
  const held = await context.take(leaving, 1);

  await leaving.close();

  await context.drain(staying, 39);
  await context.ack(leaving, held);
  await context.nothing(staying);
}

async function lagCounts(context: CaseContext): Promise<void> {
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  const other = await context.subscribe(channel, { group: "other" });
  const report = async () => {
    const { channels } = await context.broker.inspect({ channels: [channel] });
    const groups = channels[0]?.groups.map(({ group, lag, unsettled }) => [group, [lag, unsettled]] as const);
    return new Map(groups);
  };
  await context.publish(...context.envelopes(channel, 10));
  assert.deepEqual(
    await report(),
    new Map([
      ["g", [10, 0]],
      ["other", [10, 0]],
    ]),
  );

  const [first, second, ...rest] = await context.take(subscription, 4);
  assert.deepEqual((await report()).get("g"), [10, 4], "what is handed out is still not acknowledged");
  await context.ack(subscription, [first ?? assert.fail(), ...rest]);
  assert.deepEqual((await report()).get("g"), [7, 1]);
  await subscription.settle([{ kind: "nack", delivery: second ?? assert.fail(), delayMs: context.unitMs }]);
  assert.deepEqual((await report()).get("g"), [7, 0], "what waits for its retry is not acknowledged");

  await context.drain(subscription, 7);
  assert.deepEqual(
    await report(),
    new Map([
      ["g", [0, 0]],
      ["other", [10, 0]],
    ]),
  );
  await context.drain(other, 10);
}

async function unknownChannel(context: CaseContext): Promise<void> {
  const known = context.channel("known");
  const unknown = context.channel("unknown");
  const subscription = await context.subscribe(known);
  await context.publish(context.envelope(known));
  await context.drain(subscription, 1);

  const some = await context.broker.inspect({ channels: [unknown, known] });
  const all = await context.broker.inspect();

  assert.deepEqual(
    some.channels.map(({ channel }) => channel),
    [known],
    "an unknown channel is absent, not an error",
  );
  assert.ok(
    all.channels.some(({ channel }) => channel === known),
    "without names, all channels are reported",
  );
  assert.deepEqual([all.state, all.dropped], ["up", 0]);
}

function adminOf(context: CaseContext) {
  return context.broker.admin ?? assert.fail("the broker has no admin");
}

async function browse(context: CaseContext): Promise<void> {
  const admin = adminOf(context);
  const channel = context.channel();
  await admin.declare(channel, { retentionMs: 3_600_000 });
  assert.ok((await admin.list()).includes(channel), "a declared channel is listed");
  const subscription = await context.subscribe(channel);
  const sent = context.envelopes(channel, 25, (at) => ({ headers: { at: String(at) } }));
  await context.publish(...sent);
  await context.drain(subscription, 25);

  const seen: string[] = [];
  let after: string | undefined;
  for (let page = 0; page < 3; page++) {
    const stored = await admin.browse(channel, { limit: 10, ...(after === undefined ? {} : { after }) });
    seen.push(...stored.map(({ envelope }) => envelope.id));
    after = stored.at(-1)?.position;
    assert.ok(stored.length <= 10);
  }
  assert.deepEqual(
    seen,
    sent.map(({ id }) => id),
    "what is retained is shown oldest first, handled or not, page by page",
  );
  assert.deepEqual(await admin.browse(channel, { limit: 10, after: after ?? "" }), []);
  assert.deepEqual(await admin.browse(context.channel("nowhere"), { limit: 10 }), []);
}

async function erase(context: CaseContext): Promise<void> {
  const admin = adminOf(context);
  const channel = context.channel();
  await admin.declare(channel, { retentionMs: 3_600_000 });
  await context.publish(...context.envelopes(channel, 5));
  const stored = await admin.browse(channel, { limit: 10 });
  const positions = [stored[1]?.position ?? "", stored[3]?.position ?? ""];

  assert.equal(await admin.erase(channel, positions), 2);
  assert.equal(await admin.erase(channel, positions), 0, "what is gone is not erased again");

  const left = await admin.browse(channel, { limit: 10 });
  assert.deepEqual(
    left.map(({ position }) => position),
    [0, 2, 4].map((at) => stored[at]?.position),
  );
}

async function purge(context: CaseContext): Promise<void> {
  const admin = adminOf(context);
  const channel = context.channel();
  const subscription = await context.subscribe(channel);
  await context.publish(...context.envelopes(channel, 10));

  assert.equal(await admin.purge(channel), 10);

  await context.nothing(subscription);
  assert.deepEqual(await admin.browse(channel, { limit: 10 }), []);
  await context.publish(context.envelope(channel));
  await context.drain(subscription, 1);
  await admin.remove(channel);
  await admin.remove(channel);
  assert.ok(!(await admin.list()).includes(channel), "a removed channel is forgotten");
  assert.equal(await admin.purge(channel), 0);
}

async function dropGroup(context: CaseContext): Promise<void> {
  const admin = adminOf(context);
  const channel = context.channel();
  const leaving = await context.subscribe(channel, { group: "leaving" });
  const staying = await context.subscribe(channel, { group: "staying" });
  await context.publish(...context.envelopes(channel, 5));
  const [held] = await context.take(leaving, 1);

  await admin.dropGroup?.(channel, "leaving");
  await admin.dropGroup?.(channel, "leaving");
  await admin.dropGroup?.(`${channel}.elsewhere`, "nobody");
  await context.publish(...context.envelopes(channel, 5));

  await context.ack(leaving, held === undefined ? [] : [held]);
  await context.nothing(leaving);
  await leaving.close();
  if (context.has("lag")) assert.equal(await context.lag(channel, "leaving"), null);
  await context.drain(staying, 10);
  const anew = await context.subscribe(channel, { group: "leaving" });
  await context.nothing(anew);
  await context.publish(context.envelope(channel));
  for (const subscription of [anew, staying]) await context.drain(subscription, 1);
}

/** Opening, closing, reporting, looking after channels. */
export const lifecycleCases: readonly ConformanceCase[] = [
  {
    id: "h-open-twice",
    title: "opening an open broker is an error and does it no harm",
    acked: 1,
    run: openTwice,
  },
  {
    id: "h-closed-for-good",
    title:
      "after close, which may be called twice, publish and subscribe reject with CLOSED and nothing is handed out",
    acked: 1,
    check: { complete: false },
    run: closedForGood,
  },
  {
    id: "h-close-under-load",
    title: "a close amid publishes and waiting receives settles every one of them and leaves no timer",
    acked: 0,
    check: { complete: false },
    run: closeUnderLoad,
  },
  {
    id: "h-closing-wakes",
    title: "closing a subscription, once or twice, ends its waiting receive",
    acked: 0,
    run: closingWakes,
  },
  {
    id: "h-closing-releases",
    title: "closing a subscription releases what it never handed out",
    needs: ["groups"] as const,
    acked: 40,
    run: closingReleases,
  },
  {
    id: "h-lag",
    title: "lag counts what a group has not acknowledged, unsettled what of it is out",
    needs: ["lag", "groups", "nackDelay"] as const,
    acked: 10,
    run: lagCounts,
  },
  {
    id: "h-unknown-channel",
    title: "a report leaves out channels that do not exist",
    acked: 1,
    run: unknownChannel,
  },
  {
    id: "h-admin-browse",
    title: "what a channel retains can be read page by page, oldest first",
    needs: ["admin"] as const,
    acked: 25,
    run: browse,
  },
  {
    id: "h-admin-erase",
    title: "single envelopes can be taken out, once",
    needs: ["admin"] as const,
    acked: 5,
    run: erase,
  },
  {
    id: "h-admin-purge",
    title: "a channel can be emptied and forgotten, and works again afterwards",
    needs: ["admin"] as const,
    acked: 11,
    check: { complete: false },
    run: purge,
  },
  {
    id: "h-admin-drop-group",
    title: "a group that is forgotten gets nothing more, keeps nobody waiting, and begins anew",
    needs: ["dropGroup"] as const,
    acked: 11,
    check: { complete: false },
    run: dropGroup,
  },
].map((one) => ({ group: "H", stepped: true, ...one }));
