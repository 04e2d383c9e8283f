import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import { FALLBACK_POSITION } from "./handed.ts";
import { isInternal, isMarked, toPlain } from "./handover.ts";

/** What looking after channels needs of the rest. */
export interface AdminHost {
  readonly primary: BrokerAdmin;
  readonly fallback: BrokerAdmin;
  isPrimaryUp(): boolean;
  /** A call to the primary with its deadline. */
  within<T>(promise: Promise<T>, what: string): Promise<T>;
}

/** Looks after the channels of both sides. What only the primary could do rejects with `NOT_CONNECTED` while it is away. */
export class FailoverAdmin implements BrokerAdmin {
  readonly #host: AdminHost;
  /** Declared while the primary was away. */
  readonly #owed = new Map<string, ChannelOptions>();
  readonly dropGroup?: (pattern: string, group: string) => Promise<void>;

  constructor(host: AdminHost) {
    this.#host = host;
    if (host.primary.dropGroup !== undefined && host.fallback.dropGroup !== undefined)
      this.dropGroup = (pattern, group) => this.#dropGroup(pattern, group);
  }

  async list(): Promise<readonly string[]> {
    const { primary, fallback } = this.#host;
    const there = this.#host.isPrimaryUp() ? await this.#host.within(primary.list(), "a list") : [];
    const names = new Set([...there, ...(await fallback.list())]);
    return [...names].filter((name) => !isInternal(name));
  }

  async declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    await this.#host.fallback.declare(channel, options);
    if (this.#host.isPrimaryUp()) await this.#declareThere(channel, options);
    else this.#owed.set(channel, options);
  }

  /** Declares on the primary what was declared while it was away. */
  async settleDebts(): Promise<void> {
    for (const [channel, options] of this.#owed) {
      await this.#declareThere(channel, options);
      this.#owed.delete(channel);
    }
  }

  async remove(channel: string): Promise<void> {
    this.#checkPrimary();
    await this.#host.within(this.#host.primary.remove(channel), "a remove");
    await this.#host.fallback.remove(channel);
    this.#owed.delete(channel);
  }

  async purge(channel: string): Promise<number> {
    this.#checkPrimary();
    const there = await this.#host.within(this.#host.primary.purge(channel), "a purge");
    return there + (await this.#host.fallback.purge(channel));
  }

  async browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    if (options.after?.startsWith(FALLBACK_POSITION) === true)
      return this.#browseHere(channel, options.limit, options.after.slice(FALLBACK_POSITION.length));
    // Half of what there is, shown as if it were all, would be a lie.
    this.#checkPrimary();
    const there = await this.#host.within(this.#host.primary.browse(channel, options), "a browse");
    const page = there.map(({ envelope, position }) => ({ envelope: cleaned(envelope), position }));
    if (page.length >= options.limit) return page;
    return [...page, ...(await this.#browseHere(channel, options.limit - page.length))];
  }

  async erase(channel: string, positions: readonly string[]): Promise<number> {
    const here = positions.filter((position) => position.startsWith(FALLBACK_POSITION));
    const there = positions.filter((position) => !position.startsWith(FALLBACK_POSITION));
    let erased = 0;
    if (there.length > 0) {
      this.#checkPrimary();
      erased += await this.#host.within(this.#host.primary.erase(channel, there), "an erase");
    }
    if (here.length === 0) return erased;
    const own = here.map((position) => position.slice(FALLBACK_POSITION.length));
    return erased + (await this.#host.fallback.erase(channel, own));
  }

  async #dropGroup(pattern: string, group: string): Promise<void> {
    this.#checkPrimary();
    const there = this.#host.primary.dropGroup?.(pattern, group);
    if (there !== undefined) await this.#host.within(there, "dropping a group");
    await this.#host.fallback.dropGroup?.(pattern, group);
  }

  async #browseHere(channel: string, limit: number, after?: string): Promise<StoredEnvelope[]> {
    const options = after === undefined ? { limit } : { limit, after };
    const found = await this.#host.fallback.browse(channel, options);
    return found.map(({ envelope, position }) => ({
      envelope: cleaned(envelope),
      position: FALLBACK_POSITION + position,
    }));
  }

  #declareThere(channel: string, options: ChannelOptions): Promise<void> {
    return this.#host.within(this.#host.primary.declare(channel, options), "a declare");
  }

  #checkPrimary(): void {
    if (this.#host.isPrimaryUp()) return;
    const message = "The primary is away, and it holds what this is about: try again when it is back.";
    throw new HeraldError("NOT_CONNECTED", message);
  }
}

function cleaned(envelope: StoredEnvelope["envelope"]): StoredEnvelope["envelope"] {
  return isMarked(envelope) ? toPlain(envelope) : envelope;
}
