import type { Broker, BrokerAdmin } from "../../core/broker.ts";
import { createEnvelope } from "../../core/envelope.ts";
import { toHeraldError } from "../../core/errors.ts";
import { createId } from "../../core/ids.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import { INTERNAL_PREFIX } from "./handover.ts";

const CHANNEL = `${INTERNAL_PREFIX}registry`;
/** A hundred years: as long as the fallback. */
const FOREVER_MS = 100 * 365 * 86_400_000;
const PAGE = 500;

type Fact =
  | { readonly store: string }
  | { readonly group: string; readonly pattern: string; readonly since: number };

interface Member {
  readonly group: string;
  readonly since: number;
}

/**
 * What every process that shares a fallback knows of it, kept in the fallback itself: its name, and which groups have read
 * which patterns there since when.
 */
export class Registry {
  readonly #broker: Broker;
  readonly #admin: BrokerAdmin;
  readonly #known = new Set<string>();
  readonly #members = new PatternTrie<Member>();
  readonly #byChannel = new Map<string, readonly Member[]>();
  #after: string | undefined;
  #store: string | undefined;
  #refreshing: Promise<void> | undefined;

  constructor(broker: Broker, admin: BrokerAdmin) {
    this.#broker = broker;
    this.#admin = admin;
  }

  /** The name of the fallback, the same in every process that shares it. */
  get store(): string {
    return this.#store ?? "";
  }

  /** Reads what is there; gives the fallback a name when it has none. */
  async open(): Promise<void> {
    await this.#admin.declare(CHANNEL, { retentionMs: FOREVER_MS });
    await this.refresh();
    if (this.#store !== undefined) return;
    await this.#write({ store: createId() });
    // Of two that were written at once the first holds, for everybody.
    await this.refresh();
  }

  /** Notes that a group reads a pattern on the fallback from `since` on. What is noted already stays. */
  async note(group: string, pattern: string, since: number): Promise<void> {
    if (this.#known.has(keyOf(group, pattern))) return;
    await this.#write({ group, pattern, since });
    this.#learn({ group, pattern, since });
  }

  /** Groups that get from the fallback what was written there on a channel at a time. */
  groupsOf(channel: string, at: number): readonly string[] {
    let members = this.#byChannel.get(channel);
    if (members === undefined) {
      if (this.#byChannel.size > 10_000) this.#byChannel.clear();
      members = this.#members.match(channel);
      this.#byChannel.set(channel, members);
    }
    return [...new Set(members.filter(({ since }) => since <= at).map(({ group }) => group))];
  }

  /** Learns what other processes have noted. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => (this.#refreshing = undefined));
    return this.#refreshing;
  }

  async #read(): Promise<void> {
    for (;;) {
      const after = this.#after === undefined ? {} : { after: this.#after };
      const page = await this.#admin.browse(CHANNEL, { limit: PAGE, ...after });
      for (const { envelope, position } of page) {
        this.#after = position;
        this.#learn(JSON.parse(new TextDecoder().decode(envelope.body)) as Fact);
      }
      if (page.length < PAGE) return;
    }
  }

  #learn(fact: Fact): void {
    if ("store" in fact) {
      this.#store ??= fact.store;
      return;
    }
    const key = keyOf(fact.group, fact.pattern);
    if (this.#known.has(key)) return;
    this.#known.add(key);
    this.#members.add(fact.pattern, { group: fact.group, since: fact.since });
    this.#byChannel.clear();
  }

  async #write(fact: Fact): Promise<void> {
    const body = new TextEncoder().encode(JSON.stringify(fact));
    const now = Date.now();
    const envelope = createEnvelope({
      id: createId(),
      channel: CHANNEL,
      source: "failover",
      time: now,
      body,
    });
    const [result] = await this.#broker.publish([envelope]);
    if (result?.ok === false) throw toHeraldError(result.error);
  }
}

function keyOf(group: string, pattern: string): string {
  return `${pattern} ${group}`;
}
