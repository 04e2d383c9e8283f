import type { RedisClientType } from "@redis/client";
import { createId } from "../../core/ids.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import type { Connection } from "./connection.ts";

/** A queue that gets what is published under its pattern. */
export interface Registered {
  readonly queue: string;
  readonly pattern: string;
  /** Null: one broadcast subscription. */
  readonly group: string | null;
  /** Somebody in some process subscribes now. */
  readonly isAlive: boolean;
}

/** Channels that live as long as a process and would never be cleared away. */
const TRANSIENT_PREFIX = "reply.";
const MAX_CACHED = 10_000;

/**
 * KEYS queues, alive, version. ARGV grace, then queue and entry in turn. Registers what is not there yet, renews what is,
 * forgets who has not been heard of, by the server's own clock; answers with the broadcast queues that are over.
 */
const RENEW = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local changed = 0
for i = 2, #ARGV, 2 do
  changed = changed + redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
  changed = changed + redis.call('ZADD', KEYS[2], now + ARGV[1], ARGV[i])
end
local gone = {}
for _, queue in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('ZREM', KEYS[2], queue)
  changed = changed + 1
  if string.find(queue, '~~', 1, true) then
    redis.call('HDEL', KEYS[1], queue)
    gone[#gone + 1] = queue
  end
end
if changed > 0 then redis.call('INCR', KEYS[3]) end
return gone`;

/**
 * Which queues there are, kept in Redis and here. Every change raises a version there, and every publish asks for it on
 * the way: what is published after somebody has subscribed reaches them, whichever process either is in.
 */
export class Registry {
  readonly #connection: Connection;
  readonly #graceMs: number;
  #trie = new PatternTrie<Registered>();
  #all: readonly Registered[] = [];
  #retained = new Map<string, number | undefined>();
  readonly #channels = new Set<string>();
  #routes = new Map<string, readonly Registered[]>();
  readonly #declared = new Map<string, number | undefined>();
  readonly #recover: () => Promise<void>;
  #version = "";
  #epoch: string | undefined;

  /** `recover` is called when Redis is found to have forgotten everything, before anything is read from it again. */
  constructor(connection: Connection, graceMs: number, recover: () => Promise<void>) {
    this.#connection = connection;
    this.#graceMs = graceMs;
    this.#recover = recover;
  }

  get queues(): readonly Registered[] {
    return this.#all;
  }

  /** Declared channels and how long each keeps what it retains; undefined: it retains nothing. */
  get retained(): ReadonlyMap<string, number | undefined> {
    return this.#retained;
  }

  /** The queues that get what is published on a channel: each broadcast, and each group once. */
  route(channel: string): readonly Registered[] {
    let route = this.#routes.get(channel);
    if (route === undefined) {
      if (this.#routes.size >= MAX_CACHED) this.#routes.clear();
      route = this.#findRoute(channel);
      this.#routes.set(channel, route);
    }
    return route;
  }

  /** Every queue whose pattern covers a channel, also those that lose to another of their group. */
  covering(channel: string): readonly Registered[] {
    return this.#trie.match(channel);
  }

  /** The state that {@link route} answers from, as {@link askVersion} tells it. */
  get version(): string {
    return this.#version;
  }

  /** Which state of which life of the data there is now. */
  async askVersion(): Promise<string> {
    const [epoch, version] = await this.#redis.mGet([this.#key("epoch"), this.#key("version")]);
    return `${epoch ?? ""} ${version ?? "0"}`;
  }

  /** Reads everything again, unless `version` is what is known here. */
  async refresh(version?: string): Promise<void> {
    if (version === this.#version) return;
    const known = this.#epoch;
    await this.#read();
    if (known !== undefined && known !== this.#epoch) {
      await this.#recover();
      for (const [channel, retentionMs] of this.#declared) await this.#declare(channel, retentionMs);
      await this.#read();
    }
  }

  async #read(): Promise<void> {
    // Whoever comes first after the data began gives it a name: another one later means that it began anew.
    const [, epoch, version, queues, alive, retained] = await this.#redis
      .multi()
      .set(this.#key("epoch"), createId(), { NX: true })
      .get(this.#key("epoch"))
      .get(this.#key("version"))
      .hGetAll(this.#key("queues"))
      .zRange(this.#key("alive"), 0, -1)
      .hGetAll(this.#key("retained"))
      .exec();
    this.#take(asRecord(queues), new Set(alive as unknown as string[]), asRecord(retained));
    this.#epoch = epoch as unknown as string;
    this.#version = `${this.#epoch} ${(version as unknown as string | null) ?? "0"}`;
  }

  /** Registers queues or says that they are still wanted; resolves to the broadcast queues that nobody wants any more. */
  async renew(
    entries: readonly Pick<Registered, "queue" | "pattern" | "group">[],
  ): Promise<readonly string[]> {
    const gone = await this.#redis.eval(RENEW, {
      keys: [this.#key("queues"), this.#key("alive"), this.#key("version")],
      arguments: [
        String(this.#graceMs),
        ...entries.flatMap(({ queue, pattern, group }) => [queue, JSON.stringify({ pattern, group })]),
      ],
    });
    return gone as string[];
  }

  /** The last subscriber of this process is gone. */
  async leave({ queue, group }: Pick<Registered, "queue" | "group">): Promise<void> {
    const leaving = this.#redis.multi().zRem(this.#key("alive"), queue).incr(this.#key("version"));
    await (group === null ? leaving.hDel(this.#key("queues"), queue) : leaving).exec();
  }

  /** Forgets the queue of a group for good. */
  async forget(queue: string): Promise<void> {
    await this.#redis.multi().hDel(this.#key("queues"), queue).incr(this.#key("version")).exec();
  }

  /** Makes a channel known, once for each process. */
  async know(channels: Iterable<string>): Promise<void> {
    const fresh = [...channels].filter(
      (channel) => !this.#channels.has(channel) && !channel.startsWith(TRANSIENT_PREFIX),
    );
    if (fresh.length === 0) return;
    if (this.#channels.size >= MAX_CACHED) this.#channels.clear();
    await this.#redis.sAdd(this.#key("channels"), fresh);
    for (const channel of fresh) this.#channels.add(channel);
  }

  /** Every channel that was published to, subscribed to by its name, or declared. */
  async channels(): Promise<readonly string[]> {
    const known = await this.#redis.sMembers(this.#key("channels"));
    return [...new Set([...known, ...this.#retained.keys()])];
  }

  /** Declares a channel, and again should Redis forget it. */
  async declare(channel: string, retentionMs: number | undefined): Promise<void> {
    this.#declared.set(channel, retentionMs ?? this.#declared.get(channel));
    await this.#declare(channel, retentionMs);
    await this.refresh();
  }

  async #declare(channel: string, retentionMs: number | undefined): Promise<void> {
    const declaring = this.#redis.multi().incr(this.#key("version"));
    await (
      retentionMs === undefined
        ? declaring.hSetNX(this.#key("retained"), channel, "")
        : declaring.hSet(this.#key("retained"), channel, String(retentionMs))
    ).exec();
  }

  /** Forgets a channel. */
  async remove(channel: string): Promise<void> {
    this.#declared.delete(channel);
    await this.#redis
      .multi()
      .sRem(this.#key("channels"), channel)
      .hDel(this.#key("retained"), channel)
      .incr(this.#key("version"))
      .exec();
    await this.refresh();
  }

  #take(queues: Record<string, string>, alive: ReadonlySet<string>, retained: Record<string, string>): void {
    this.#trie = new PatternTrie();
    this.#all = Object.entries(queues).map(([queue, entry]) => {
      const { pattern, group } = JSON.parse(entry) as Pick<Registered, "pattern" | "group">;
      const registered = { queue, pattern, group, isAlive: alive.has(queue) };
      this.#trie.add(pattern, registered);
      return registered;
    });
    this.#retained = new Map(
      Object.entries(retained).map(([channel, ms]) => [channel, ms === "" ? undefined : Number(ms)]),
    );
    this.#routes = new Map();
    this.#channels.clear();
  }

  #findRoute(channel: string): readonly Registered[] {
    const chosen = new Map<string, Registered>();
    const route: Registered[] = [];
    for (const found of this.#trie.match(channel)) {
      if (found.group === null) route.push(found);
      else {
        const rival = chosen.get(found.group);
        if (rival === undefined || isBetter(found, rival)) chosen.set(found.group, found);
      }
    }
    return [...route, ...chosen.values()];
  }

  get #redis(): RedisClientType {
    return this.#connection.redis;
  }

  #key(name: string): string {
    return this.#connection.key(name);
  }
}

/** All processes must choose the same pattern of a group: one that is listened to, and of those the first by name. */
function isBetter(found: Registered, rival: Registered): boolean {
  return found.isAlive === rival.isAlive ? found.queue < rival.queue : found.isAlive;
}

function asRecord(reply: unknown): Record<string, string> {
  return reply as Record<string, string>;
}
