import type { Broker, Subscription } from "../../core/broker.ts";
import { toHeraldError, type HeraldError } from "../../core/errors.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import type { Later, Timers } from "../shared/timers.ts";
import { Facts, hasFields } from "./facts.ts";

/** A group that reads a pattern, and how. */
export interface Reader {
  readonly pattern: string;
  readonly group: string;
  readonly ordering: "relaxed" | "strict";
}

type Fact =
  | { readonly reads: Reader }
  | { readonly left: Pick<Reader, "pattern" | "group"> }
  /** A name is in use from now on. */
  | { readonly name: string }
  /** Every group that reads it has a place there. */
  | { readonly ready: string }
  | { readonly gone: string }
  /** A channel keeps what it holds for so long. */
  | { readonly kept: string; readonly retentionMs: number };

/** What a roll needs. */
export interface RollOptions {
  readonly broker: Broker;
  /** Where it is kept. */
  readonly channel: string;
  readonly timers: Timers;
  /** The broker below can tell of news; else they are asked for. */
  canTell(): boolean;
  /** A name that was not known here is in use. */
  readonly onName: (name: string) => void;
  /** Called now and then while somebody watches: what was not told is to be looked for. */
  readonly onLook: () => Promise<void>;
  fault(error: HeraldError, where: string): void;
}

/** How often news are asked for where nobody tells of them. */
const ASK_MS = 250;
/** How often what nobody can tell of is looked for. */
const LOOK_MS = 5000;
const WAIT_MS = 60_000;

/**
 * Which names are in use and which groups read which patterns, kept on the broker for all of its processes. Who uses a name
 * first writes it before reading the groups; who reads a pattern writes it before reading the names: whoever comes second
 * sees the other. It grows with every new name and is never shortened.
 */
export class Roll {
  readonly #options: RollOptions;
  readonly #facts: Facts<Fact>;
  readonly #names = new Set<string>();
  readonly #ready = new Set<string>();
  readonly #kept = new Map<string, number>();
  readonly #readers = new Map<string, Reader>();
  readonly #trie = new PatternTrie<Reader>();
  #after: string | undefined;
  #reading: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #telling: Promise<Subscription> | undefined;
  #asking: Later | undefined;
  #lookAt = 0;
  #watchers = 0;
  #isClosed = false;

  constructor(options: RollOptions) {
    this.#options = options;
    const now = () => options.timers.clock.now();
    this.#facts = new Facts(options.broker, options.channel, { now, isFact });
  }

  /** Names in use, as far as they are known here. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** Every group that reads, as far as it is known here. */
  get readers(): Iterable<Reader> {
    return this.#readers.values();
  }

  /** Groups that read a channel. */
  readersOf(channel: string): readonly Reader[] {
    return this.#trie.match(channel);
  }

  /** True when every group that read it when it came into use has a place there. */
  isReady(name: string): boolean {
    return this.#ready.has(name);
  }

  /** How long a channel keeps what it holds; undefined: nobody said. */
  keptOf(channel: string): number | undefined {
    return this.#kept.get(channel);
  }

  /** A channel keeps what it holds for so long. */
  async keep(channel: string, retentionMs: number): Promise<void> {
    if (this.#kept.get(channel) === retentionMs) return;
    this.#kept.set(channel, retentionMs);
    await this.#facts.write({ kept: channel, retentionMs });
  }

  /** Reads what is there. */
  async open(): Promise<void> {
    await this.#facts.open();
    await this.refresh();
  }

  /** A group reads a pattern. Every name that was in use before is known when this resolves. */
  async read(reader: Reader): Promise<void> {
    if (this.#readers.get(keyOf(reader))?.ordering !== reader.ordering)
      await this.#facts.write({ reads: reader });
    await this.refresh();
  }

  /** A group does not read a pattern any more. */
  async leave(pattern: string, group: string): Promise<void> {
    if (!this.#readers.has(keyOf({ pattern, group }))) return;
    await this.#facts.write({ left: { pattern, group } });
    await this.refresh();
  }

  /** A name is in use. Every group that read before is known when this resolves. */
  async use(name: string): Promise<void> {
    if (!this.#names.has(name)) await this.#facts.write({ name });
    await this.refresh();
  }

  /** Every group has a place there. */
  async makeReady(name: string): Promise<void> {
    if (this.#ready.has(name)) return;
    this.#ready.add(name);
    await this.#facts.write({ ready: name });
  }

  /** A name is in use no longer. */
  async forget(name: string): Promise<void> {
    if (!this.#names.has(name)) return;
    await this.#facts.write({ gone: name });
    await this.refresh();
  }

  /** Learns everything that was written before this call. */
  refresh(): Promise<void> {
    if (this.#reading === undefined) {
      this.#reading = this.#read().finally(() => (this.#reading = undefined));
      return this.#reading;
    }
    // One that is under way may have passed what was written since it began.
    this.#next ??= this.#reading
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.refresh();
      });
    return this.#next;
  }

  /** Somebody wants to hear of names that others use; the result ends that. */
  watch(): () => void {
    if (++this.#watchers === 1) this.#begin();
    let isOver = false;
    return () => {
      if (!isOver) this.#watchers--;
      isOver = true;
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#asking?.cancel();
    await (await this.#telling?.catch(() => undefined))?.close();
  }

  #begin(): void {
    if (this.#options.canTell() && this.#telling === undefined) this.#listen();
    this.#askLater();
  }

  /** Whatever is written on the roll is a reason to read it. */
  #listen(): void {
    const { broker } = this.#options;
    this.#telling = broker.subscribe({ pattern: this.#facts.channel, group: null, prefetch: 100 });
    this.#telling
      .then(async (subscription) => {
        while (!this.#isClosed) {
          const news = await subscription.receive(100, WAIT_MS);
          if (news.length === 0) continue;
          await subscription.settle(news.map((delivery) => ({ kind: "ack", delivery })));
          await this.refresh();
        }
      })
      .catch((error: unknown) => {
        this.#telling = undefined;
        if (!this.#isClosed) this.#options.fault(toHeraldError(error), "roll");
      });
  }

  #askLater(): void {
    if (this.#isClosed || this.#watchers === 0 || this.#asking !== undefined) return;
    const waitMs = this.#telling === undefined ? ASK_MS : LOOK_MS;
    this.#asking = this.#options.timers.after(waitMs, () => {
      this.#asking = undefined;
      this.#ask()
        .catch((error: unknown) => this.#options.fault(toHeraldError(error), "roll"))
        .finally(() => this.#askLater());
    });
  }

  async #ask(): Promise<void> {
    if (this.#options.canTell() && this.#telling === undefined) this.#listen();
    await this.refresh();
    const now = this.#options.timers.monotonic();
    if (now < this.#lookAt) return;
    this.#lookAt = now + LOOK_MS;
    await this.#options.onLook();
  }

  async #read(): Promise<void> {
    for await (const { fact, position } of this.#facts.read(this.#after)) {
      this.#after = position;
      this.#learn(fact);
    }
  }

  #learn(fact: Fact): void {
    if ("name" in fact) {
      if (this.#names.has(fact.name)) return;
      this.#names.add(fact.name);
      this.#options.onName(fact.name);
    } else if ("ready" in fact) this.#ready.add(fact.ready);
    else if ("kept" in fact) this.#kept.set(fact.kept, fact.retentionMs);
    else if ("gone" in fact) {
      this.#names.delete(fact.gone);
      this.#ready.delete(fact.gone);
    } else if ("reads" in fact) {
      this.#strike(fact.reads);
      this.#readers.set(keyOf(fact.reads), fact.reads);
      this.#trie.add(fact.reads.pattern, fact.reads);
    } else this.#strike(fact.left);
  }

  #strike(reader: Pick<Reader, "pattern" | "group">): void {
    const known = this.#readers.get(keyOf(reader));
    if (known === undefined) return;
    this.#readers.delete(keyOf(reader));
    this.#trie.remove(known.pattern, known);
  }
}

/** A pattern holds no space; a group may hold any. */
function keyOf({ pattern, group }: Pick<Reader, "pattern" | "group">): string {
  return `${pattern} ${group}`;
}

function isFact(value: unknown): value is Fact {
  if (hasFields(value, { kept: "string", retentionMs: "number" })) return true;
  if (["name", "ready", "gone"].some((field) => hasFields(value, { [field]: "string" }))) return true;
  const { reads, left } = (value ?? {}) as { readonly reads?: unknown; readonly left?: unknown };
  const isReader = (reader: unknown) => hasFields(reader, { pattern: "string", group: "string" });
  return isReader(left) || (isReader(reads) && hasFields(reads, { ordering: "string" }));
}
