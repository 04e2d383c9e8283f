import { HeraldError } from "../../../core/errors.ts";
import { PatternTrie } from "../../../core/pattern-trie.ts";
import type { Database, Statements } from "./database.ts";
import { Channel, Group, Lane, type Pattern } from "./model.ts";

const SQL = {
  store: "SELECT seq, structure, turn FROM store",
  save: "UPDATE store SET seq = ?, structure = ?, turn = ?",
  channels: "SELECT id, name, retention_ms FROM channels WHERE id > ? ORDER BY id",
  lanes: "SELECT id, channel_id, priority, first_seq, last_seq FROM lanes WHERE id > ? ORDER BY id",
  heads: "SELECT id, first_seq, last_seq FROM lanes WHERE last_seq > ?",
  groups: "SELECT id, name, owner FROM groups WHERE id > ? ORDER BY id",
  touched: "SELECT id FROM groups WHERE touched > ?",
  touch: "UPDATE groups SET touched = ? WHERE id = ?",
  patterns: "SELECT * FROM patterns WHERE id > ? ORDER BY id",
  addChannel: "INSERT INTO channels(name) VALUES (?) RETURNING id",
  addLane: "INSERT INTO lanes(channel_id, priority) VALUES (?, ?) RETURNING id",
  addGroup: "INSERT INTO groups(name, owner) VALUES (?, ?) RETURNING id",
  addPattern: "INSERT INTO patterns(group_id, pattern, strict, start_seq) VALUES (?, ?, ?, ?) RETURNING id",
  setPattern: "UPDATE patterns SET strict = ?, start_seq = ? WHERE id = ?",
};

interface StoreRow {
  readonly seq: number;
  readonly structure: number;
  readonly turn: number;
}

interface LaneRow {
  readonly id: number;
  readonly channel_id: number;
  readonly priority: number;
  readonly first_seq: number;
  readonly last_seq: number;
}

interface PatternRow {
  readonly id: number;
  readonly group_id: number;
  readonly pattern: string;
  readonly strict: number;
  readonly start_seq: number;
}

/** Told of what another process has changed. */
export interface TopologyListener {
  /** A lane has messages that it did not have before. */
  grown(lane: Lane): void;
  /** Something of the group's exceptions or claims is different. */
  touched(group: Group): void;
  /** Another process has written; what was read before may be old. */
  changed(): void;
}

/**
 * Channels, lanes, groups and patterns as this process knows them: a copy of what is stored, brought up to date at the
 * beginning of each turn if another process has written since.
 */
export class Topology {
  readonly channels = new Map<string, Channel>();
  readonly lanes = new Map<number, Lane>();
  readonly groups = new Map<number, Group>();
  /** Grows with every change by another process: what carries an older number is read again. */
  epoch = 0;
  /** The last position given to a message. */
  seq = 0;
  turn = 0;
  readonly #db: Database;
  readonly #listener: TopologyListener;
  readonly #byId = new Map<number, Channel>();
  readonly #named = new Map<string, Group>();
  #trie = new PatternTrie<Pattern>();
  readonly #patterns = new Map<number, Pattern>();
  #version = -1;
  #structure = -1;
  #storedSeq = 0;
  #routes = 0;
  #last = { channel: 0, lane: 0, group: 0, pattern: 0 };
  readonly #sql: Statements<typeof SQL>;

  constructor(db: Database, listener: TopologyListener) {
    this.#db = db;
    this.#listener = listener;
    this.#sql = db.prepareAll(SQL);
  }

  /** True when another process has written. */
  get isOld(): boolean {
    return this.#db.dataVersion() !== this.#version;
  }

  /** Reads what other processes have changed; true when there was anything. */
  refresh(): boolean {
    const version = this.#db.dataVersion();
    if (version === this.#version) return false;
    this.#read(version);
    return true;
  }

  /** Forgets the copy and reads everything: after a transaction that failed. */
  reload(): void {
    this.#structure = -1;
    this.#read(this.#db.dataVersion());
  }

  /**
   * Writes the counters, if they have moved or `isForced`. Call it last in a transaction that writes. True when there is
   * something for other processes to see.
   */
  save(isForced = false): boolean {
    for (const group of this.#touchedNow) this.#sql.touch.run(this.turn + 1, group.id);
    const touches = this.#touchedNow.size > 0;
    const hasNews = this.seq !== this.#storedSeq || touches || this.#structureMoved;
    if (!hasNews && !isForced) return false;
    if (touches) this.turn++;
    if (this.#structureMoved) this.#structure++;
    this.#sql.save.run(this.seq, this.#structure, this.turn);
    this.#touchedNow.clear();
    this.#structureMoved = false;
    this.#storedSeq = this.seq;
    return hasNews;
  }

  /** Other processes are to look at this group's exceptions again. */
  touch(group: Group): void {
    this.#touchedNow.add(group);
  }

  /** Something was taken away or changed: other processes are to read everything again. */
  restructured(): void {
    this.#structureMoved = true;
    this.#routes++;
  }

  readonly #touchedNow = new Set<Group>();
  #structureMoved = false;

  /** The channel of this name, made when it is new. Throws `OVERLOADED` over `maxChannels`. */
  channel(name: string, maxChannels: number): Channel {
    const known = this.channels.get(name);
    if (known !== undefined) return known;
    if (this.channels.size >= maxChannels) throw tooManyChannels(maxChannels);
    const { id } = this.#sql.addChannel.get(name) as { id: number };
    return this.#addChannel(id, name, null);
  }

  /** The lane of a priority, made when it is new. */
  lane(channel: Channel, priority: number): Lane {
    const known = channel.lanes.find((lane) => lane.priority === priority);
    if (known !== undefined) return known;
    const { id } = this.#sql.addLane.get(channel.id, priority) as { id: number };
    return this.#addLane({ id, channel_id: channel.id, priority, first_seq: 0, last_seq: 0 });
  }

  group(name: string): Group | undefined {
    return this.#named.get(name);
  }

  /** A new group; `name` null: the private one of a broadcast subscription of `owner`. */
  createGroup(name: string | null, owner: number | null): Group {
    const { id } = this.#sql.addGroup.get(name, owner) as { id: number };
    return this.#addGroup(id, name, owner);
  }

  createPattern(group: Group, pattern: string, strict: boolean, startSeq: number): Pattern {
    const { id } = this.#sql.addPattern.get(group.id, pattern, strict ? 1 : 0, startSeq) as {
      id: number;
    };
    return this.#addPattern({
      id,
      group_id: group.id,
      pattern,
      strict: strict ? 1 : 0,
      start_seq: startSeq,
    }) as Pattern;
  }

  changePattern(pattern: Pattern, strict: boolean, startSeq: number): void {
    this.#sql.setPattern.run(strict ? 1 : 0, startSeq, pattern.id);
    pattern.strict = strict;
    pattern.startSeq = startSeq;
    this.restructured();
  }

  /** Takes a group out of the copy; its rows are the caller's. */
  forgetGroup(group: Group): void {
    for (const pattern of group.patterns.values()) this.forgetPattern(pattern);
    group.forget();
    this.groups.delete(group.id);
    if (group.name !== null) this.#named.delete(group.name);
    this.restructured();
  }

  /** Takes a pattern out of the copy; its row is the caller's. */
  forgetPattern(pattern: Pattern): void {
    pattern.group.patterns.delete(pattern.pattern);
    this.#trie.remove(pattern.pattern, pattern);
    this.#patterns.delete(pattern.id);
    this.restructured();
  }

  /** Takes a channel out of the copy; its rows are the caller's. */
  forgetChannel(channel: Channel): void {
    for (const lane of channel.lanes) this.lanes.delete(lane.id);
    this.channels.delete(channel.name);
    this.#byId.delete(channel.id);
    for (const group of this.groups.values()) group.forgetChannel(channel);
    this.restructured();
  }

  channelOf(id: number): Channel | undefined {
    return this.#byId.get(id);
  }

  /** The groups that read a channel, each once. */
  route(channel: Channel): readonly Group[] {
    if (channel.routeVersion !== this.#routes) {
      channel.route = this.routeOf(channel.name);
      channel.routeVersion = this.#routes;
    }
    return channel.route;
  }

  /** The groups that would read a channel of this name. */
  routeOf(name: string): readonly Group[] {
    return [...new Set(this.#trie.match(name).map(({ group }) => group))];
  }

  /** Where a group starts in a channel that it has no cursor for yet; undefined when no pattern of it covers the channel. */
  startOf(group: Group, channel: Channel): number | undefined {
    let start: number | undefined;
    for (const pattern of group.patterns.values())
      if (pattern.covers(channel) && (start === undefined || pattern.startSeq < start))
        start = pattern.startSeq;
    return start;
  }

  #read(version: number): void {
    this.#version = version;
    this.epoch++;
    const { seq, structure, turn } = this.#sql.store.get() as unknown as StoreRow;
    const before = this.seq;
    const since = this.turn;
    this.seq = seq;
    this.#storedSeq = seq;
    this.turn = turn;
    this.#touchedNow.clear();
    this.#structureMoved = false;
    const isWhole = structure !== this.#structure;
    this.#structure = structure;
    if (isWhole) this.#clear();
    this.#readNew();
    this.#readHeads(isWhole ? -1 : before);
    this.#listener.changed();
    for (const { id } of this.#sql.touched.all(isWhole ? -1 : since) as unknown as { id: number }[]) {
      const group = this.groups.get(id);
      if (group !== undefined) this.#listener.touched(group);
    }
  }

  #readHeads(since: number): void {
    const rows = this.#sql.heads.all(since) as unknown as Pick<LaneRow, "id" | "first_seq" | "last_seq">[];
    for (const row of rows) {
      const lane = this.lanes.get(row.id);
      if (lane === undefined) continue;
      lane.lastSeq = row.last_seq;
      lane.firstSeq = row.first_seq;
      this.#listener.grown(lane);
    }
  }

  /** Objects are kept where the rows are still there: members and cursors hang on them. */
  #clear(): void {
    this.#known = { channels: new Map(this.#byId), lanes: new Map(this.lanes), groups: new Map(this.groups) };
    for (const map of [this.channels, this.#byId, this.lanes, this.groups, this.#named, this.#patterns])
      map.clear();
    this.#trie = new PatternTrie();
    this.#last = { channel: 0, lane: 0, group: 0, pattern: 0 };
    this.#routes++;
  }

  #known: {
    readonly channels: ReadonlyMap<number, Channel>;
    readonly lanes: ReadonlyMap<number, Lane>;
    readonly groups: ReadonlyMap<number, Group>;
  } = { channels: new Map(), lanes: new Map(), groups: new Map() };

  #readNew(): void {
    const { channels, lanes, groups, patterns } = this.#sql;
    type ChannelRow = { id: number; name: string; retention_ms: number | null };
    for (const row of channels.all(this.#last.channel) as unknown as ChannelRow[])
      this.#addChannel(row.id, row.name, row.retention_ms);
    for (const row of lanes.all(this.#last.lane) as unknown as LaneRow[]) this.#addLane(row);
    type GroupRow = { id: number; name: string | null; owner: number | null };
    for (const row of groups.all(this.#last.group) as unknown as GroupRow[])
      this.#addGroup(row.id, row.name, row.owner);
    for (const row of patterns.all(this.#last.pattern) as unknown as PatternRow[]) this.#addPattern(row);
    // Members of a group that another process has dropped find nothing more.
    for (const group of this.#known.groups.values()) if (!this.groups.has(group.id)) group.forget();
    this.#known = { channels: new Map(), lanes: new Map(), groups: new Map() };
  }

  #addChannel(id: number, name: string, retentionMs: number | null): Channel {
    const channel = this.#known.channels.get(id) ?? new Channel(id, name);
    channel.retentionMs = retentionMs;
    channel.lanes.length = 0;
    channel.routeVersion = -1;
    this.channels.set(name, channel);
    this.#byId.set(id, channel);
    this.#last.channel = Math.max(this.#last.channel, id);
    return channel;
  }

  #addLane(row: LaneRow): Lane {
    const channel = this.#byId.get(row.channel_id) as Channel;
    const lane = this.#known.lanes.get(row.id) ?? new Lane(row.id, channel, row.priority);
    lane.firstSeq = row.first_seq;
    lane.lastSeq = row.last_seq;
    channel.lanes.push(lane);
    channel.lanes.sort((a, b) => a.priority - b.priority);
    this.lanes.set(row.id, lane);
    this.#last.lane = Math.max(this.#last.lane, row.id);
    return lane;
  }

  #addGroup(id: number, name: string | null, owner: number | null): Group {
    const group = this.#known.groups.get(id) ?? new Group(id, name, owner);
    group.patterns.clear();
    this.groups.set(id, group);
    if (name !== null) this.#named.set(name, group);
    this.#last.group = Math.max(this.#last.group, id);
    return group;
  }

  #addPattern(row: PatternRow): Pattern | undefined {
    this.#last.pattern = Math.max(this.#last.pattern, row.id);
    const group = this.groups.get(row.group_id);
    if (group === undefined) return undefined;
    const pattern = group.addPattern(row.id, {
      pattern: row.pattern,
      strict: row.strict === 1,
      startSeq: row.start_seq,
    });
    this.#patterns.set(row.id, pattern);
    this.#trie.add(row.pattern, pattern);
    this.#routes++;
    return pattern;
  }
}

function tooManyChannels(maxChannels: number): HeraldError {
  const message = `The file broker holds ${maxChannels} channels already: use fewer channel names, remove some, or raise maxChannels.`;
  return new HeraldError("OVERLOADED", message, { details: { maxChannels } });
}
