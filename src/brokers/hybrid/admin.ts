import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { positionParts, type Member } from "./member.ts";
import type { Routes } from "./routes.ts";

interface Looked {
  readonly member: Member;
  readonly admin: BrokerAdmin;
}

/**
 * Looks after channels where the routes say that they are. Dead letters that follow their source lie on several members: they
 * are shown and counted member by member. A channel on a member that cannot be looked after is `UNSUPPORTED`.
 */
export class HybridAdmin implements BrokerAdmin {
  readonly #routes: Routes;
  readonly dropGroup?: (pattern: string, group: string) => Promise<void>;

  constructor(routes: Routes) {
    this.#routes = routes;
    if (routes.members.every(({ admin }) => admin?.dropGroup !== undefined))
      this.dropGroup = async (pattern, group) => {
        await Promise.all(
          routes.spanned(pattern).map(async ({ admin }) => admin?.dropGroup?.(pattern, group)),
        );
      };
  }

  async list(): Promise<readonly string[]> {
    const lists = await Promise.all(this.#routes.members.map(async ({ admin }) => admin?.list() ?? []));
    return [...new Set(lists.flat())];
  }

  async declare(channel: string, options?: ChannelOptions): Promise<void> {
    await Promise.all(this.#of(channel).map(({ admin }) => admin.declare(channel, options)));
  }

  async remove(channel: string): Promise<void> {
    await Promise.all(this.#of(channel).map(({ admin }) => admin.remove(channel)));
  }

  async purge(channel: string): Promise<number> {
    return sum(await Promise.all(this.#of(channel).map(({ admin }) => admin.purge(channel))));
  }

  async browse(
    channel: string,
    { after, limit }: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    const all = this.#of(channel);
    const place = after === undefined ? undefined : positionParts(after);
    const begin =
      place === undefined ? 0 : all.findIndex(({ member }) => member.patterns.includes(place.pattern));
    if (begin < 0) return [];
    const found: StoredEnvelope[] = [];
    for (const [at, { member, admin }] of all.slice(begin).entries()) {
      if (found.length >= limit) break;
      const own = at === 0 && place !== undefined ? { after: place.own } : {};
      const page = await admin.browse(channel, { limit: limit - found.length, ...own });
      for (const { envelope, position } of page) found.push({ envelope, position: member.outward(position) });
    }
    return found;
  }

  async erase(channel: string, positions: readonly string[]): Promise<number> {
    const places = positions.flatMap((position) => positionParts(position) ?? []);
    const erased = this.#of(channel).map(async ({ member, admin }) => {
      const own = places.filter(({ pattern }) => member.patterns.includes(pattern)).map((place) => place.own);
      return own.length === 0 ? 0 : admin.erase(channel, own);
    });
    return sum(await Promise.all(erased));
  }

  #of(channel: string): readonly Looked[] {
    const found = this.#routes
      .membersOf(channel)
      .flatMap((member) => (member.admin === undefined ? [] : [{ member, admin: member.admin }]));
    if (found.length > 0) return found;
    const { name } = this.#routes.memberOf(channel).broker;
    const message = `The channel '${channel}' is on the member '${name}', whose channels cannot be looked after: route it to another member.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { channel, member: name } });
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
