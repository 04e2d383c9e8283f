import type { HandledIds } from "../shared/claiming-inbox.ts";
import { redisError } from "./errors.ts";
import { Script } from "./script.ts";
import type { Session } from "./session.ts";

/** KEYS: the group's ids by the time they are forgotten. ARGV: id. Resolves to -1 when it was handled, else to how many ids there are. */
const FIND = new Script(`
local t = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + t[2] / 1000)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return -1 end
return redis.call('ZCARD', KEYS[1])
`);

/** ARGV: id, how long it is remembered in ms. */
export const RECORD = new Script(`
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], t[1] * 1000 + t[2] / 1000 + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] * 2))
return 1
`);

/** Handled ids in Redis, a sorted set a group. */
export class RedisHandledIds implements HandledIds {
  readonly #session: () => Session;
  readonly #horizonMs: number;

  /** `session` throws `CLOSED` while the broker is not open. */
  constructor(session: () => Session, horizonMs: number) {
    this.#session = session;
    this.#horizonMs = horizonMs;
  }

  async find(group: string, id: string): Promise<"done" | number> {
    const known = Number(await this.#run(FIND, group, [id]));
    return known < 0 ? "done" : known;
  }

  async record(group: string, id: string): Promise<void> {
    await this.#run(RECORD, group, [id, String(this.#horizonMs)]);
  }

  async #run(script: Script, group: string, parameters: string[]): Promise<unknown> {
    try {
      const session = this.#session();
      return await session.run(script, session.keys.inbox(group), parameters);
    } catch (error) {
      throw redisError(error);
    }
  }
}
