import type { Broker, BrokerAdmin } from "../../core/broker.ts";
import { toHeraldError, type HeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import type { Later, Timers } from "../shared/timers.ts";
import { Facts, hasFields } from "./facts.ts";

/** A group that only one subscription reads. */
export interface PrivateGroup {
  readonly pattern: string;
  readonly group: string;
  /** It may have been taken for one whose process is gone. */
  onLost(): void;
}

/** What private groups need. */
export interface PrivateGroupsOptions {
  readonly broker: Broker;
  readonly timers: Timers;
  /** What names of groups and channels begin with. */
  readonly prefix: string;
  /** A process that has not been heard of for so long is gone, and its groups with it. */
  readonly orphanMs: number;
  fault(error: HeraldError, where: string): void;
}

interface GroupFact {
  readonly pattern: string;
  readonly group: string;
  readonly process: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

interface SignOfLife {
  readonly process: string;
  readonly at: number;
}

/** How often in `orphanMs` a process says that it is there. */
const BEATS = 4;

/**
 * Groups of single subscriptions, noted on the broker, so that those of a process that died are found and removed by the
 * others. Every process with such groups says now and then that it is there.
 */
export class PrivateGroups {
  readonly #options: PrivateGroupsOptions;
  readonly #admin: BrokerAdmin;
  readonly #process = createId();
  readonly #groups: Facts<GroupFact>;
  readonly #signs: Facts<SignOfLife>;
  readonly #own = new Map<PrivateGroup, string | null>();
  #opening: Promise<void> | undefined;
  #sign: string | null = null;
  #beatAt = 0;
  #beating: Later | undefined;
  #isClosed = false;

  constructor(options: PrivateGroupsOptions) {
    const { broker, prefix, timers } = options;
    this.#options = options;
    this.#admin = broker.admin as BrokerAdmin;
    const now = () => timers.clock.now();
    this.#groups = new Facts(broker, `${prefix}groups`, { now, isFact: isGroupFact });
    this.#signs = new Facts(broker, `${prefix}alive`, { now, isFact: isSignOfLife });
  }

  /** A new one, noted before anybody reads it. */
  async make(pattern: string, onLost: () => void): Promise<PrivateGroup> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    await this.#opening;
    const made = { pattern, group: this.#options.prefix + createId(), onLost };
    const fact = { pattern, group: made.group, process: this.#process, at: this.#now() };
    this.#own.set(made, await this.#groups.write(fact));
    return made;
  }

  /** Nobody reads it any more. */
  async drop(group: PrivateGroup): Promise<void> {
    const position = this.#own.get(group) ?? null;
    this.#own.delete(group);
    await this.#admin.dropGroup?.(group.pattern, group.group);
    if (position !== null) await this.#groups.erase([position]);
  }

  /** Leaves no timer; what was not dropped is left to others. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#beating?.cancel();
    if (this.#own.size === 0 && this.#sign !== null) await this.#signs.erase([this.#sign]);
  }

  async #open(): Promise<void> {
    await Promise.all([this.#groups.open(), this.#signs.open()]);
    await this.#beat();
  }

  /** Says that this process is there, and looks who is not any more. */
  async #beat(): Promise<void> {
    const { orphanMs } = this.#options;
    const now = this.#now();
    const before = this.#sign;
    this.#sign = await this.#signs.write({ process: this.#process, at: now });
    if (before !== null) await this.#signs.erase([before]);
    const isLate = this.#beatAt > 0 && now - this.#beatAt > orphanMs;
    this.#beatAt = now;
    if (isLate) Array.from(this.#own.keys()).forEach((group) => group.onLost());
    await this.#sweep(now - orphanMs);
    this.#beatLater();
  }

  #beatLater(): void {
    if (this.#isClosed) return;
    this.#beating?.cancel();
    this.#beating = this.#options.timers.after(this.#options.orphanMs / BEATS, () => {
      this.#beat().catch((error: unknown) => {
        this.#options.fault(toHeraldError(error), "broadcast");
        this.#beatLater();
      });
    });
  }

  async #sweep(deadBefore: number): Promise<void> {
    const seenAt = new Map<string, number>();
    const old: string[] = [];
    for await (const { fact, position } of this.#signs.read()) {
      seenAt.set(fact.process, Math.max(fact.at, seenAt.get(fact.process) ?? 0));
      if (fact.at < deadBefore && fact.process !== this.#process) old.push(position);
    }
    for await (const { fact, position } of this.#groups.read()) {
      const { process, at, pattern, group } = fact;
      if (process === this.#process || Math.max(at, seenAt.get(process) ?? 0) >= deadBefore) continue;
      await this.#admin.dropGroup?.(pattern, group);
      await this.#groups.erase([position]);
    }
    await this.#signs.erase(old);
  }

  #now(): number {
    return this.#options.timers.clock.now();
  }
}

function isGroupFact(value: unknown): value is GroupFact {
  return hasFields(value, { pattern: "string", group: "string", process: "string", at: "number" });
}

function isSignOfLife(value: unknown): value is SignOfLife {
  return hasFields(value, { process: "string", at: "number" });
}
