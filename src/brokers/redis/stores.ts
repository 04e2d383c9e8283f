import { systemClock } from "../../core/clock.ts";
import { createId } from "../../core/ids.ts";
import type {
  AppendResult,
  EventLog,
  KeptValue,
  KeyValueStore,
  LoggedEvent,
  StreamHead,
  Stores,
} from "../../core/store.ts";
import { publishError, redisError } from "./errors.ts";
import { Script } from "./script.ts";
import type { Session } from "./session.ts";

/**
 * A stream is a Redis stream whose ids are the versions, `<version>-0`. ARGV: version it must have, pub/sub channel that is
 * told, name, then body and hash of each event. Resolves to whether it was done, and version and hash of the end.
 */
export const APPEND_EVENTS = new Script(`
local version, hash = 0, ''
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then
  version = tonumber(string.match(last[1], '^%d+'))
  for i = 1, #last[2], 2 do if last[2][i] == 'hash' then hash = last[2][i + 1] end end
end
if version ~= tonumber(ARGV[1]) then return { 0, version, hash } end
for i = 4, #ARGV, 2 do
  version = version + 1
  hash = ARGV[i + 1]
  redis.call('XADD', KEYS[1], string.format('%.0f-0', version), 'event', ARGV[i], 'hash', hash)
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return { 1, version, hash }
`);

/** ARGV: key, token that the value must have ('' none, '*' any), new token, value. A value is kept behind its token and a space. */
export const PUT = new Script(`
local known = redis.call('HGET', KEYS[1], ARGV[1])
local token = known and string.match(known, '^%S+') or ''
if ARGV[2] ~= '*' and ARGV[2] ~= token then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ' ' .. ARGV[4])
return 1
`);

/** ARGV: key, token that the value must have, or '*'. */
export const DELETE = new Script(`
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or (ARGV[2] ~= '*' and ARGV[2] ~= string.match(known, '^%S+')) then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
`);

const ANY = "*";
const NONE = "";

type Entry = readonly [id: string, fields: readonly string[]];

class RedisEventLog implements EventLog {
  readonly #session: () => Session;

  constructor(session: () => Session) {
    this.#session = session;
  }

  async append(
    stream: string,
    version: number,
    events: readonly Pick<LoggedEvent, "body" | "hash">[],
  ): Promise<AppendResult> {
    const session = this.#session();
    const { keys } = session;
    // The list of streams lies elsewhere in a cluster: what is on it may have no events yet, never the other way round.
    if (version === 0) await asked(() => session.send(keys.streams, ["SADD", keys.streams, stream]));
    const args = [String(version), keys.grown, stream, ...events.flatMap(({ body, hash }) => [body, hash])];
    try {
      const answer = (await session.run(APPEND_EVENTS, keys.stream(stream), args)) as [
        number,
        number,
        string,
      ];
      return { isStored: answer[0] === 1, head: { version: answer[1], hash: answer[2] } };
    } catch (error) {
      throw publishError(error);
    }
  }

  async read(stream: string, after: number, limit: number): Promise<readonly LoggedEvent[]> {
    const session = this.#session();
    const key = session.keys.stream(stream);
    const range = [`${after + 1}-0`, "+", "COUNT", String(Math.min(limit, MAX_READ))];
    return ((await asked(() => session.send(key, ["XRANGE", key, ...range]))) as Entry[]).map(loggedOf);
  }

  async head(stream: string): Promise<StreamHead> {
    const session = this.#session();
    const key = session.keys.stream(stream);
    const last = (await asked(() =>
      session.send(key, ["XREVRANGE", key, "+", "-", "COUNT", "1"]),
    )) as Entry[];
    const [head] = last.map(loggedOf);
    return { version: head?.version ?? 0, hash: head?.hash ?? "" };
  }

  async streams(): Promise<readonly string[]> {
    const session = this.#session();
    const { streams } = session.keys;
    return ((await asked(() => session.send(streams, ["SMEMBERS", streams]))) as string[]).toSorted();
  }

  watch(listener: (stream: string) => void): () => void {
    const session = this.#session();
    return session.listen(session.keys.grown, listener);
  }
}

class RedisValues implements KeyValueStore {
  readonly #session: () => Session;

  constructor(session: () => Session) {
    this.#session = session;
  }

  async get(space: string, key: string): Promise<KeptValue | undefined> {
    const session = this.#session();
    const name = session.keys.values(space);
    const kept = (await asked(() => session.send(name, ["HGET", name, key]))) as string | null;
    if (kept === null) return undefined;
    const end = kept.indexOf(" ");
    return { token: kept.slice(0, end), value: kept.slice(end + 1) };
  }

  async put(space: string, key: string, value: string, ifToken?: string | null): Promise<string | undefined> {
    const session = this.#session();
    const token = createId(systemClock.now());
    const expected = ifToken === undefined ? ANY : (ifToken ?? NONE);
    const args = [key, expected, token, value];
    return (await asked(() => session.run(PUT, session.keys.values(space), args))) === 1 ? token : undefined;
  }

  async delete(space: string, key: string, ifToken?: string): Promise<boolean> {
    const session = this.#session();
    const args = [key, ifToken ?? ANY];
    return (await asked(() => session.run(DELETE, session.keys.values(space), args))) === 1;
  }

  async keys(space: string): Promise<readonly string[]> {
    const session = this.#session();
    const name = session.keys.values(space);
    return ((await asked(() => session.send(name, ["HKEYS", name]))) as string[]).toSorted();
  }
}

/** Events of one read at most. */
const MAX_READ = 1000;

function loggedOf([id, fields]: Entry): LoggedEvent {
  const found = new Map<string, string>();
  for (let i = 0; i < fields.length; i += 2) found.set(fields[i] as string, fields[i + 1] as string);
  return { version: Number.parseInt(id, 10), body: found.get("event") ?? "", hash: found.get("hash") ?? "" };
}

async function asked(ask: () => Promise<unknown>): Promise<unknown> {
  try {
    return await ask();
  } catch (error) {
    throw redisError(error);
  }
}

/** Event streams and values of one namespace; all of one stream, and of one space, lies in one slot of a cluster. */
export class RedisStores implements Stores {
  readonly events: EventLog;
  readonly values: KeyValueStore;

  /** `session` throws `CLOSED` while the broker is not open. */
  constructor(session: () => Session) {
    this.events = new RedisEventLog(session);
    this.values = new RedisValues(session);
  }
}
