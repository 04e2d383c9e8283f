import type { RedisClientType } from "@redis/client";
import type { RedisQueueBackend } from "bullmq";
import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { checkChannel, isWildcard } from "../../core/pattern.ts";
import { commandError } from "./errors.ts";
import { decodeData } from "./job-data.ts";
import { retainedQueue } from "./names.ts";
import type { Registered, Registry } from "./registry.ts";

/** What looking after channels needs of the broker. */
export interface AdminHost {
  /** Throws `CLOSED` unless the broker is open. */
  readonly redis: RedisClientType;
  readonly registry: Registry;
  readonly queue: (name: string) => RedisQueueBackend;
  /** Takes a queue and every job in it out of Redis. */
  readonly obliterate: (queue: string) => Promise<void>;
}

const WAITING = ["wait", "prioritized", "delayed"] as const;
const PAGE = 500;
const POSITION = /^\d{1,16}$/;

/** Looks after channels. What a declared channel retains lies in a queue of its own, which no consumer reads. */
export class BullMQAdmin implements BrokerAdmin {
  readonly #host: AdminHost;

  constructor(host: AdminHost) {
    this.#host = host;
  }

  list(): Promise<readonly string[]> {
    return this.#ask(async ({ registry }) => {
      await registry.refresh();
      return registry.channels();
    });
  }

  declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    return this.#ask(async ({ registry }) => {
      checkChannel(channel);
      const { retentionMs } = options;
      if (retentionMs !== undefined && !(retentionMs >= 0)) throw wrongRetention(retentionMs);
      await registry.declare(channel, retentionMs);
      await registry.know([channel]);
    });
  }

  remove(channel: string): Promise<void> {
    return this.#ask(async ({ registry, obliterate }) => {
      await this.purge(channel);
      await registry.remove(channel);
      await obliterate(retainedQueue(channel));
      // A group that nobody is a member of would wait for a channel that is gone.
      for (const { queue, pattern, isAlive } of registry.covering(channel)) {
        if (pattern !== channel || isAlive) continue;
        await registry.forget(queue);
        await obliterate(queue);
      }
    });
  }

  purge(channel: string): Promise<number> {
    return this.#ask(async ({ registry }) => {
      await registry.refresh();
      let deepest = await this.#clear(retainedQueue(channel));
      for (const registered of registry.covering(channel))
        deepest = Math.max(deepest, await this.#purge(registered, channel));
      return deepest;
    });
  }

  browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    return this.#ask(async ({ redis, queue }) => {
      const { after = "0", limit } = options;
      const name = retainedQueue(channel);
      if (limit <= 0 || !POSITION.test(after)) return [];
      await this.expire(channel);
      const backend = queue(name);
      const found = await redis.zRangeByScoreWithScores(keyOf(backend, "prioritized"), `(${after}`, "+inf", {
        LIMIT: { offset: 0, count: limit },
      });
      const jobs = await Promise.all(
        found.map(({ value }) => redis.hmGet(backend.toKey(value), ["data", "timestamp"])),
      );
      return found.flatMap(({ value: id, score }, at) => {
        const [data, timestamp] = jobs[at] ?? [];
        if (typeof data !== "string") return [];
        const envelope = decodeData({ id, data, timestamp: Number(timestamp) }, channel, name);
        return [{ envelope, position: String(score) }];
      });
    });
  }

  erase(channel: string, positions: readonly string[]): Promise<number> {
    return this.#ask(async ({ redis, queue }) => {
      const backend = queue(retainedQueue(channel));
      let erased = 0;
      for (const position of positions) {
        if (!POSITION.test(position)) continue;
        for (const id of await redis.zRangeByScore(keyOf(backend, "prioritized"), position, position))
          erased += await backend.remove(id, false);
      }
      return erased;
    });
  }

  /** Lets go of what a declared channel has retained for long enough. */
  async expire(channel: string): Promise<void> {
    const { redis, registry, queue } = this.#host;
    const retentionMs = registry.retained.get(channel);
    if (retentionMs === undefined) return;
    const backend = queue(retainedQueue(channel));
    const before = Date.now() - retentionMs;
    for (;;) {
      const ids = await redis.zRange(keyOf(backend, "prioritized"), 0, PAGE - 1);
      const stamps = await Promise.all(ids.map((id) => redis.hGet(backend.toKey(id), "timestamp")));
      const old = ids.filter((_id, at) => Number(stamps[at] ?? 0) < before);
      await Promise.all(old.map((id) => backend.remove(id, false)));
      if (old.length < PAGE) return;
    }
  }

  /** What waits in one queue for the channel goes; what is handed out is left to its holder. */
  async #purge({ queue: name, pattern }: Registered, channel: string): Promise<number> {
    const { redis, queue } = this.#host;
    if (!isWildcard(pattern)) return this.#clear(name);
    const backend = queue(name);
    let purged = 0;
    for (const id of await jobIds(backend)) {
      if ((await redis.hGet(backend.toKey(id), "name")) === channel)
        purged += await backend.remove(id, false);
    }
    return purged;
  }

  async #clear(name: string): Promise<number> {
    const backend = this.#host.queue(name);
    const counts = await backend.getCounts([...WAITING]);
    await backend.drain(true);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async #ask<T>(task: (host: AdminHost) => Promise<T>): Promise<T> {
    try {
      return await task(this.#host);
    } catch (error) {
      throw commandError(error);
    }
  }
}

/** The ids of every job that waits in a queue, whatever for. */
export async function jobIds(backend: RedisQueueBackend): Promise<string[]> {
  const ranges = await backend.getRanges([...WAITING], 0, -1, true);
  return ranges.flat();
}

function keyOf(backend: RedisQueueBackend, key: string): string {
  return backend.toKey(key);
}

function wrongRetention(value: unknown): HeraldError {
  const message = `retentionMs must be a number of 0 or more, not ${showValue(value)}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field: "retentionMs" } });
}
