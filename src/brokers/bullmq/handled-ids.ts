import { inboxKey } from "../../core/inbox-limits.ts";
import type { HandledIds } from "../shared/claiming-inbox.ts";
import type { Connection } from "./connection.ts";
import { commandError } from "./errors.ts";

/** KEYS ids. ARGV id. Forgets what is past its horizon by the server's clock; answers -1 for an id that is there, or how many are. */
const FIND = `
local t = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 + math.floor(t[2] / 1000))
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return -1 end
return redis.call('ZCARD', KEYS[1])`;

/** KEYS ids. ARGV id, horizon. */
const RECORD = `
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2], ARGV[1])
return 1`;

/** Handled ids in the Redis of a broker: one sorted set by the end of their horizon, shared by every process. */
export class BullMQHandledIds implements HandledIds {
  readonly #connection: () => Connection;
  readonly #horizonMs: number;

  /** `connection` throws `CLOSED` while the broker is not open. */
  constructor(connection: () => Connection, horizonMs: number) {
    this.#connection = connection;
    this.#horizonMs = horizonMs;
  }

  async find(group: string, id: string): Promise<"done" | number> {
    const known = await this.#run(FIND, inboxKey(group, id));
    return known < 0 ? "done" : known;
  }

  async record(group: string, id: string): Promise<void> {
    await this.#run(RECORD, inboxKey(group, id), String(Math.ceil(this.#horizonMs)));
  }

  async #run(script: string, ...parameters: string[]): Promise<number> {
    const connection = this.#connection();
    try {
      const reply = await connection.redis.eval(script, {
        keys: [connection.key("inbox")],
        arguments: parameters,
      });
      return Number(reply);
    } catch (error) {
      throw commandError(error);
    }
  }
}
