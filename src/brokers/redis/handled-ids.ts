import type { HandledIds } from "../shared/claiming-inbox.ts";
import { Gathered } from "../shared/gathered.ts";
import { redisError } from "./errors.ts";
import { Script } from "./script.ts";
import type { Session } from "./session.ts";

/** KEYS: the group's ids by the time they are forgotten. ARGV: ids. Resolves to how many ids there are, then for each whether it is one of them. */
const FIND = new Script(`
local t = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + t[2] / 1000)
local found = redis.call('ZMSCORE', KEYS[1], unpack(ARGV))
for at = 1, #ARGV do found[at] = found[at] and 1 or 0 end
return { redis.call('ZCARD', KEYS[1]), unpack(found) }
`);

/** ARGV: how long they are remembered in ms, ids. */
export const RECORD = new Script(`
local t = redis.call('TIME')
local untilMs = t[1] * 1000 + t[2] / 1000 + ARGV[1]
local added = {}
for at = 2, #ARGV do
  added[#added + 1] = untilMs
  added[#added + 1] = ARGV[at]
end
redis.call('ZADD', KEYS[1], unpack(added))
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[1] * 2))
return 1
`);

/** Handled ids in Redis, a sorted set a group. */
export class RedisHandledIds implements HandledIds {
  readonly #session: () => Session;
  readonly #finds: Gathered<string, "done" | number>;
  readonly #records: Gathered<string, undefined>;

  /** `session` throws `CLOSED` while the broker is not open. */
  constructor(session: () => Session, horizonMs: number) {
    this.#session = session;
    this.#finds = new Gathered(async (group, ids) => {
      const [count, ...found] = (await this.#run(FIND, group, ids)) as [number, ...number[]];
      return found.map((isFound) => (isFound === 1 ? "done" : count));
    });
    this.#records = new Gathered(async (group, ids) => {
      await this.#run(RECORD, group, [String(horizonMs), ...ids]);
      return ids.map(() => undefined);
    });
  }

  find(group: string, id: string): Promise<"done" | number> {
    return this.#finds.ask(group, id);
  }

  async record(group: string, id: string): Promise<void> {
    await this.#records.ask(group, id);
  }

  async #run(script: Script, group: string, parameters: readonly string[]): Promise<unknown> {
    try {
      const session = this.#session();
      return await session.run(script, session.keys.inbox(group), parameters);
    } catch (error) {
      throw redisError(error);
    }
  }
}
