import { matchPattern } from "../../core/pattern.ts";
import type { Hand } from "./hands.ts";
import { Log } from "./log.ts";
import type { Session } from "./session.ts";
import type { Writer } from "./writer.ts";

/** What is told to every process. */
type Entry =
  | { readonly op: "reads" | "dropped"; readonly pattern: string; readonly group: string }
  | { readonly op: "declared" | "removed"; readonly channel: string }
  | { readonly op: "erased"; readonly channel: string; readonly positions: readonly string[] }
  | { readonly op: "purged"; readonly channel: string; readonly upTo: number }
  | { readonly op: "held"; readonly at: number; readonly hand: Hand };

/** Who hears what others tell. */
export interface RegistryListener {
  dropped(pattern: string, group: string): void;
  /** What a process had in hand at a moment, epoch milliseconds, when it lost its server. */
  held(hand: Hand, at: number): void;
}

/** What was taken out of a channel that is retained. */
interface Erased {
  upTo: number;
  readonly positions: Set<string>;
}

/**
 * Which group reads which pattern, which channels are retained, and what was taken out of them. AMQP has no way to ask for the
 * bindings of an exchange, and a stream none to delete from its middle.
 */
export class Registry {
  readonly #log: Log<Entry>;
  /** By group: the patterns, the one that was first before the others. */
  readonly #patterns = new Map<string, Set<string>>();
  readonly #declared = new Set<string>();
  readonly #removed = new Set<string>();
  readonly #erased = new Map<string, Erased>();
  readonly #listener: RegistryListener;

  constructor(
    parts: { readonly session: Session; readonly writer: Writer; readonly id: string },
    listener: RegistryListener,
  ) {
    this.#log = new Log({ ...parts, stream: parts.session.names.registry }, (entry) => this.#read(entry));
    this.#listener = listener;
  }

  open(): Promise<void> {
    return this.#log.open();
  }

  close(): Promise<void> {
    return this.#log.close();
  }

  /** Every pattern and the groups that read it. */
  *readers(): Generator<readonly [pattern: string, group: string]> {
    for (const [group, patterns] of this.#patterns)
      for (const pattern of patterns) if (!this.#removed.has(pattern)) yield [pattern, group];
  }

  /** Every channel that is retained. */
  get declared(): ReadonlySet<string> {
    return this.#declared;
  }

  isRead(pattern: string, group: string): boolean {
    return this.#patterns.get(group)?.has(pattern) === true;
  }

  /** Is it taken out of what a channel retains? */
  isErased(channel: string, offset: number): boolean {
    const erased = this.#erased.get(channel);
    return erased !== undefined && (offset <= erased.upTo || erased.positions.has(String(offset)));
  }

  /** Resolves when everybody who looks knows, and this process knows everything that was told before. */
  async reads(pattern: string, group: string): Promise<void> {
    if (!this.isRead(pattern, group) || this.#removed.has(pattern))
      await this.#log.append({ op: "reads", pattern, group });
  }

  /** Tells everybody; as {@link reads}. */
  tell(entry: Exclude<Entry, { readonly op: "reads" }>): Promise<void> {
    return this.#log.append(entry);
  }

  /** True when an earlier pattern of the group covers the channel: its queue has the message too. */
  isRivals(group: string, pattern: string, channel: string): boolean {
    const patterns = this.#patterns.get(group);
    if (patterns === undefined || patterns.size < 2) return false;
    for (const earlier of patterns) {
      if (earlier === pattern) return false;
      if (matchPattern(earlier, channel)) return true;
    }
    return false;
  }

  #read(entry: Entry): void {
    switch (entry.op) {
      case "reads": {
        let patterns = this.#patterns.get(entry.group);
        if (patterns === undefined) this.#patterns.set(entry.group, (patterns = new Set()));
        patterns.add(entry.pattern);
        this.#removed.delete(entry.pattern);
        return;
      }
      case "dropped":
        if (this.#patterns.get(entry.group)?.delete(entry.pattern) === true)
          this.#listener.dropped(entry.pattern, entry.group);
        return;
      case "declared":
        this.#declared.add(entry.channel);
        this.#removed.delete(entry.channel);
        return;
      case "removed":
        this.#declared.delete(entry.channel);
        this.#removed.add(entry.channel);
        return;
      case "held":
        this.#listener.held(entry.hand, entry.at);
        return;
      default:
        this.#erase(entry);
    }
  }

  #erase(entry: Extract<Entry, { readonly op: "erased" | "purged" }>): void {
    let erased = this.#erased.get(entry.channel);
    if (erased === undefined) this.#erased.set(entry.channel, (erased = { upTo: -1, positions: new Set() }));
    if (entry.op === "erased") for (const position of entry.positions) erased.positions.add(position);
    else {
      erased.upTo = Math.max(erased.upTo, entry.upTo);
      for (const position of erased.positions)
        if (Number(position) <= erased.upTo) erased.positions.delete(position);
    }
  }
}
