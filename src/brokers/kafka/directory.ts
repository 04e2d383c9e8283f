import type { HeraldError } from "../../core/errors.ts";
import { PatternTrie } from "../../core/pattern-trie.ts";
import type { Fetched } from "./fetched.ts";
import { directoryTopic } from "./names.ts";
import { SharedLog, type LogParts } from "./shared-log.ts";

/** What is agreed on of a channel. */
export interface ChannelEntry {
  /** Ids that are stored a second time are to be recognised. */
  readonly once?: boolean | undefined;
  /** It is one of those that share a topic. */
  readonly shared: boolean;
  /** By partition: what lies before this offset is not of the channel, or was purged. */
  readonly from: Readonly<Record<string, number>>;
}

/** Where a group began in one topic. */
export interface TopicStart {
  /** The topic that the offsets are of: one of the same name may come after it. */
  readonly topicId: string;
  readonly offsets: Readonly<Record<string, number>>;
}

/** That a group reads a pattern, and where it began, by topic; topics that are not named came later and are read from their beginning. */
export interface GroupEntry {
  readonly pattern: string;
  readonly group: string;
  readonly starts: Readonly<Record<string, TopicStart>>;
}

/** What one process has said of itself. */
interface Statement {
  readonly parts: (Buffer | undefined)[];
  /** Epoch milliseconds. */
  readonly storedAt: number;
}

/**
 * What all processes of a namespace must agree on, in a compacted topic that each of them reads: which channels there are, which
 * groups want what, and what was erased. All see the same order: who uses a channel first writes its name before it publishes, who
 * subscribes writes its pattern before it looks which channels there are; whoever comes second sees the other.
 */
export class Directory {
  readonly channels = new Map<string, ChannelEntry>();
  readonly groups = new Map<string, GroupEntry>();
  /** What processes have said of themselves at length, by its name. */
  readonly statements = new Map<string, Statement>();
  readonly #byGroup = new Map<string, Set<GroupEntry>>();
  readonly #byPattern = new PatternTrie<GroupEntry>();
  readonly #erased = new Map<string, Set<string>>();
  readonly #log: SharedLog;
  /** Told of a channel that is new, or whose entry is another now. */
  onChannel: (channel: string) => void = () => {};
  onGone: (channel: string) => void = () => {};
  onGroupGone: (pattern: string, group: string) => void = () => {};

  constructor(parts: LogParts) {
    this.#log = new SharedLog(parts, directoryTopic(parts.cluster.settings.namespace), (record) =>
      this.#take(record),
    );
  }

  get topic(): string {
    return this.#log.topic;
  }

  /** Resolves once everything that was written before is known. */
  async open(): Promise<void> {
    await this.#log.make({ "cleanup.policy": "compact" });
    await this.#log.read(0);
  }

  /** Resolves once everything is known that was written before this call. */
  caughtUp(): Promise<void> {
    return this.#log.caughtUp();
  }

  /** Writes entries; resolves when they are known here. Rejects when one was not stored. */
  put(entries: readonly (readonly [key: string, value: object | null])[]): Promise<void> {
    return this.#log.put(
      entries.map(([key, value]) => [
        key,
        value === null ? null : Buffer.from(JSON.stringify(value), "utf8"),
      ]),
    );
  }

  /** Writes what a process says of itself, in parts that fit into a record each. */
  putStatement(name: string, parts: readonly Buffer[]): Promise<void> {
    return this.#log.put(parts.map((part, at) => [`m/${name} ${at}`, part]));
  }

  async dropStatements(names: readonly string[]): Promise<void> {
    const keys = names.flatMap((name) =>
      (this.statements.get(name)?.parts ?? []).map((_part, at) => `m/${name} ${at}`),
    );
    await this.#log.put(keys.map((key) => [key, null]));
  }

  putChannel(channel: string, entry: ChannelEntry | null): readonly [string, object | null] {
    return [
      `c/${channel}`,
      entry === null ? null : { shared: entry.shared, from: entry.from, once: entry.once },
    ];
  }

  /** Writes that a group reads a pattern, unless it does; resolves to true when it is new. Of two who write at once the first is right. */
  async addGroup(entry: GroupEntry): Promise<boolean> {
    const key = `g/${entry.pattern} ${entry.group}`;
    const name = key.slice(2);
    if (this.groups.has(name)) return false;
    await this.put([[key, { starts: entry.starts }]]);
    const now = this.groups.get(name);
    if (now === undefined || JSON.stringify(now.starts) === JSON.stringify(entry.starts)) return true;
    // Compaction would keep what was written last.
    await this.put([[key, { starts: now.starts, again: true }]]);
    return false;
  }

  async dropGroup(pattern: string, group: string): Promise<void> {
    if (this.groups.has(`${pattern} ${group}`)) await this.put([[`g/${pattern} ${group}`, null]]);
  }

  /** What is written down of one group. */
  entriesOf(group: string): Iterable<GroupEntry> {
    return this.#byGroup.get(group) ?? [];
  }

  /** Names of the groups that read a channel. */
  groupsOn(channel: string): ReadonlySet<string> {
    return new Set(this.#byPattern.match(channel).map(({ group }) => group));
  }

  isErased(channel: string, partition: number, offset: number): boolean {
    return this.#erased.size > 0 && this.#erased.get(channel)?.has(`${partition}-${offset}`) === true;
  }

  erasedOf(channel: string): ReadonlySet<string> {
    return this.#erased.get(channel) ?? new Set();
  }

  async erase(channel: string, places: readonly string[]): Promise<void> {
    await this.put(places.map((place) => [`e/${channel} ${place}`, {}]));
  }

  /** Whoever waits hears this error. */
  close(error: HeraldError): void {
    this.#log.close(error);
  }

  #take(record: Fetched): void {
    const key = record.key?.toString("utf8") ?? "";
    const { value } = record;
    const said = key.slice(2);
    if (key.startsWith("c/")) this.#channel(said, value === null ? null : (parse(value) as ChannelEntry));
    else if (key.startsWith("g/")) this.#group(said, value === null ? null : (parse(value) as GroupEntry));
    else if (key.startsWith("e/")) this.#erase(said, value !== null);
    else if (key.startsWith("m/")) this.#statement(said, value, record.storedAt);
  }

  #channel(name: string, entry: ChannelEntry | null): void {
    if (entry !== null) {
      this.channels.set(name, entry);
      this.onChannel(name);
    } else if (this.channels.delete(name)) {
      this.#erased.delete(name);
      this.onGone(name);
    }
  }

  #group(name: string, entry: (GroupEntry & { readonly again?: boolean }) | null): void {
    const at = name.indexOf(" ");
    const pattern = name.slice(0, at);
    const group = name.slice(at + 1);
    const known = this.groups.get(name);
    if (entry === null) {
      if (known === undefined) return;
      this.groups.delete(name);
      this.#byPattern.remove(pattern, known);
      const left = this.#byGroup.get(group);
      left?.delete(known);
      if (left?.size === 0) this.#byGroup.delete(group);
      this.onGroupGone(pattern, group);
    } else if (known === undefined) {
      const made = { pattern, group, starts: entry.starts };
      this.groups.set(name, made);
      this.#byPattern.add(pattern, made);
      const all = this.#byGroup.get(group);
      if (all === undefined) this.#byGroup.set(group, new Set([made]));
      else all.add(made);
    }
  }

  #statement(key: string, part: Buffer | null, storedAt: number): void {
    const [name = "", at = "0"] = key.split(" ");
    if (part === null) {
      this.statements.delete(name);
      return;
    }
    let statement = this.statements.get(name);
    if (statement === undefined) this.statements.set(name, (statement = { parts: [], storedAt }));
    statement.parts[Number(at)] = part;
  }

  #erase(name: string, isGone: boolean): void {
    const at = name.indexOf(" ");
    const channel = name.slice(0, at);
    const place = name.slice(at + 1);
    const places = this.#erased.get(channel);
    if (!isGone) places?.delete(place);
    else if (places === undefined) this.#erased.set(channel, new Set([place]));
    else places.add(place);
  }
}

function parse(value: Buffer): unknown {
  try {
    return JSON.parse(value.toString("utf8"));
  } catch {
    return { shared: false, from: {}, starts: {} };
  }
}
