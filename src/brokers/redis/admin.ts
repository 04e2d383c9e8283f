import type { BrokerAdmin, ChannelOptions, ChannelReport, StoredEnvelope } from "../../core/broker.ts";
import { checkChannel } from "../../core/pattern.ts";
import { envelopeOfFields } from "./codec.ts";
import { redisError } from "./errors.ts";
import { compareIds, parsePosition, positionOf, streamOf, type Lane } from "./keys.ts";
import type { Registry } from "./registry.ts";
import { DECLARE, ERASE, PURGE, REMOVE, REPORT } from "./scripts-admin.ts";
import { TAILS } from "./scripts-publish.ts";
import type { Session } from "./session.ts";

interface Row extends StoredEnvelope {
  readonly id: string;
  readonly lane: Lane;
}

/** What looking after channels needs of the broker. */
export interface AdminHost {
  readonly session: () => Session;
  readonly registry: () => Registry;
  /** Tells every process that a channel is gone. */
  readonly removed: (channel: string) => void;
}

/** Looks after the channels of one namespace. Never walks the keys of the server. */
export class RedisAdmin implements BrokerAdmin {
  readonly #host: AdminHost;

  constructor(host: AdminHost) {
    this.#host = host;
  }

  list(): Promise<readonly string[]> {
    return this.#guard(async () => (await this.#host.registry().names()).toSorted());
  }

  declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    return this.#guard(async () => {
      checkChannel(channel);
      const isNew = await this.#host.registry().add(channel);
      const kept =
        options.retentionMs === undefined ? "" : String(Math.max(0, Math.round(options.retentionMs)));
      await this.#host.session().run(DECLARE, this.#base(channel), [kept]);
      if (isNew) this.#host.registry().onNew(channel);
    });
  }

  remove(channel: string): Promise<void> {
    return this.#guard(async () => {
      this.#host.removed(channel);
      await this.#host.registry().remove(channel);
      await this.#host.session().run(REMOVE, this.#base(channel), []);
    });
  }

  purge(channel: string): Promise<number> {
    return this.#guard(
      async () => (await this.#host.session().run(PURGE, this.#base(channel), [])) as number,
    );
  }

  browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    return this.#guard(() => this.#rows(channel, options));
  }

  erase(channel: string, positions: readonly string[]): Promise<number> {
    return this.#guard(async () => {
      const places = positions.flatMap((position) => {
        const place = parsePosition(position);
        return place === undefined ? [] : [place.lane, place.id];
      });
      if (places.length === 0) return 0;
      return (await this.#host.session().run(ERASE, this.#base(channel), places)) as number;
    });
  }

  /** The latest of a channel, newest first. */
  history(channel: string, count: number): Promise<readonly StoredEnvelope[]> {
    return this.#guard(async () => {
      const rows = await this.#read(channel, (stream) => [
        "XREVRANGE",
        stream,
        "+",
        "-",
        "COUNT",
        String(count),
      ]);
      return rows.toSorted((a, b) => compareRows(b, a)).slice(0, count);
    });
  }

  /** How a channel stands, or undefined when it does not exist. */
  async report(channel: string): Promise<ChannelReport> {
    const reply = (await this.#host.session().run(REPORT, this.#base(channel), [])) as (string | number)[];
    const groups = [];
    for (let at = 1; at + 2 < reply.length; at += 3) {
      groups.push({ group: String(reply[at]), lag: Number(reply[at + 1]), unsettled: Number(reply[at + 2]) });
    }
    return { channel, depth: Number(reply[0]), groups };
  }

  async #rows(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    const { after, limit } = options;
    if (limit <= 0) return [];
    const place = after === undefined ? undefined : parsePosition(after);
    // Another lane may have an entry of the same id, which comes behind it.
    const from = place === undefined ? "-" : place.id;
    const most = String(limit + 1);
    const rows = await this.#read(channel, (stream) => ["XRANGE", stream, from, "+", "COUNT", most]);
    const later = place === undefined ? rows : rows.filter((row) => compareRows(row, place) > 0);
    return later.toSorted(compareRows).slice(0, limit);
  }

  async #read(channel: string, command: (stream: string) => string[]): Promise<Row[]> {
    const session = this.#host.session();
    const base = this.#base(channel);
    const tails = (await session.run(TAILS, base, [])) as string[];
    const lanes = tails.filter((_tail, at) => at % 2 === 0);
    const replies = await Promise.all(
      lanes.map(async (lane) => ({ lane, reply: await session.send(base, command(streamOf(base, lane))) })),
    );
    return replies.flatMap(({ lane, reply }) =>
      (reply as [string, string[]][]).map(([id, fields]) => ({
        id,
        lane,
        position: positionOf(lane, id),
        envelope: envelopeOfFields(channel, id, fields),
      })),
    );
  }

  #base(channel: string): string {
    return this.#host.session().keys.base(channel);
  }

  async #guard<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw redisError(error);
    }
  }
}

function compareRows(
  a: { readonly id: string; readonly lane: Lane },
  b: { readonly id: string; readonly lane: Lane },
): number {
  return compareIds(a.id, b.id) || (a.lane < b.lane ? -1 : a.lane > b.lane ? 1 : 0);
}
