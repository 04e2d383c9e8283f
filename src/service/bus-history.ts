import { Codecs, PLAIN } from "../codec/codecs.ts";
import { toMessage } from "../codec/message.ts";
import type { BrokerAdmin, StoredEnvelope } from "../core/broker.ts";
import { HeraldError } from "../core/errors.ts";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import { checkChannel } from "../core/pattern.ts";
import { toBusMessage, type BusMessage } from "./bus-message.ts";
import { whole } from "./check-options.ts";

const PAGE = 500;
const CODECS = new Codecs(PLAIN, DEFAULT_LIMITS);

/** What a broker still keeps of one channel. */
export interface HistoryQuery {
  readonly channel: string;
  /** At most so many. */
  readonly count: number;
}

/** The last messages of a channel, newest first. What cannot be decoded is left out. */
export async function historyOf(
  admin: BrokerAdmin | undefined,
  { channel, count }: HistoryQuery,
): Promise<BusMessage[]> {
  checkChannel(channel);
  whole("count", count);
  if (admin === undefined)
    throw new HeraldError("UNSUPPORTED", `The broker cannot show what it keeps of '${channel}'.`);
  const messages: BusMessage[] = [];
  for (const stored of (await lastOf(admin, { channel, count })).toReversed())
    messages.push(...(await decoded(stored)));
  return messages;
}

/**
 * Brokers show what they keep from its beginning, some in several rows, and a failover broker one message on both sides: all
 * of it is read, and no more than `count` is held.
 */
async function lastOf(admin: BrokerAdmin, { channel, count }: HistoryQuery): Promise<StoredEnvelope[]> {
  let last: StoredEnvelope[] = [];
  let after: { after?: string } = {};
  for (;;) {
    const page = await admin.browse(channel, { ...after, limit: PAGE });
    const end = page.at(-1);
    if (end === undefined) return last;
    const byId = new Map([...last, ...page].map((stored) => [stored.envelope.id, stored]));
    last = [...byId.values()].toSorted((a, b) => a.envelope.time - b.envelope.time).slice(-count);
    after = { after: end.position };
  }
}

async function decoded({ envelope }: StoredEnvelope): Promise<BusMessage[]> {
  try {
    return [toBusMessage(toMessage(envelope, await CODECS.decode(envelope, envelope.channel), 1))];
  } catch {
    return [];
  }
}
