import assert from "node:assert/strict";
import type { Subscription } from "../../../core/broker.ts";
import { randomInt } from "../../random.ts";
import type { CaseContext } from "../context.ts";
import type { ConformanceCase } from "../case.ts";

const TOKENS = ["a", "b", "A", "agent-1", "agent-22", "agentx", "x_y", "q:r"];

/** What a pattern means, written a second time and in another way than the product does it. */
function meaning(pattern: string): RegExp {
  const tokens = pattern.split(".").map((token) => token.replaceAll("*", "[^.]*"));
  const source = tokens.join("\\.").replace(/\\\.#$/, "(\\..+)?");
  // A star alone is a whole token, so at least one character.
  return new RegExp(`^${source.replace(/(^|\\\.)\[\^\.\]\*(?=\\\.|\(|$)/g, "$1[^.]+")}$`);
}

async function wildcards(context: CaseContext): Promise<void> {
  const base = context.channel("p");
  const names = new Set<string>([base]);
  while (names.size < 200) {
    const depth = 1 + randomInt(context.random, 4);
    const tokens = Array.from({ length: depth }, () => TOKENS[randomInt(context.random, TOKENS.length)]);
    names.add([base, ...tokens].join("."));
  }
  const patterns = ["a.*", "a.#", "*.b", "*.*", "agent-*", "*-*.b", "#", "*.a.#", "a", "A.*", "*.*.*.*"].map(
    (tail) => `${base}.${tail}`,
  );
  const subscriptions: Subscription[] = [];
  for (const pattern of patterns)
    subscriptions.push(await context.subscribe(pattern, { group: `g-${patterns.indexOf(pattern)}` }));

  await context.publish(...[...names].map((name) => context.envelope(name)));

  for (const [at, pattern] of patterns.entries()) {
    const expected = [...names].filter((name) => meaning(pattern).test(name));
    const subscription = subscriptions[at] ?? assert.fail();
    const got = await context.drain(subscription, expected.length);
    assert.deepEqual(got.map(({ envelope }) => envelope.channel).toSorted(), expected.toSorted(), pattern);
  }
  for (const subscription of subscriptions)
    assert.deepEqual(await subscription.receive(1000, 0), [], "nothing beyond the pattern");
}

async function starIsOneToken(context: CaseContext): Promise<void> {
  const base = context.channel("s");
  const subscription = await context.subscribe(`${base}.*`);

  await context.publish(...[base, `${base}.a.b`, `${base}x.a`].map((name) => context.envelope(name)));

  await context.nothing(subscription);
  await context.publish(context.envelope(`${base}.a`));
  await context.drain(subscription, 1);
}

async function overlap(context: CaseContext): Promise<void> {
  const base = context.channel("o");
  const patterns = [`${base}.a.b`, `${base}.a.*`, `${base}.a.#`, `${base}.#`, `${base}.*.b`];
  const subscriptions: Subscription[] = [];
  for (const pattern of patterns) subscriptions.push(await context.subscribe(pattern, { group: "overlap" }));
  const total = context.count(200);

  await context.publish(...context.envelopes(`${base}.a.b`, total));

  let handled = 0;
  const drainAll = async () => {
    for (const subscription of subscriptions) {
      const deliveries = await context.receive(subscription, 1000, 0);
      await context.ack(subscription, deliveries);
      handled += deliveries.length;
    }
    return handled >= total;
  };
  await context.until(drainAll, () => `${total} deliveries; ${handled} came`);
  for (const subscription of subscriptions) await context.nothing(subscription, context.unitMs / 2);
  assert.equal(handled, total);
}

/** Which channels a pattern covers. */
export const patternCases: readonly ConformanceCase[] = [
  {
    id: "a05-wildcards",
    group: "A",
    title: "patterns match exactly the documented names among two hundred",
    needs: ["wildcard"],
    acked: 200,
    run: wildcards,
  },
  {
    id: "a-star-is-one-token",
    group: "A",
    title: "a star stands for exactly one token: not for none, not for two",
    needs: ["wildcard"],
    stepped: true,
    acked: 4,
    run: starIsOneToken,
  },
  {
    id: "a-overlap-once",
    group: "A",
    title: "a message that several patterns of one group cover is handled once",
    needs: ["wildcard"],
    acked: 200,
    run: overlap,
  },
];
