import { Claim, type Claims } from "./claims.ts";
import type { Cursors } from "./cursors.ts";
import type { Database, Statements } from "./database.ts";
import type { Deliveries, MessageRow } from "./deliveries.ts";
import type { Exception, Exceptions, ReadyRow } from "./exceptions.ts";
import type { Channel, Cursor, Group, Lane, Member } from "./model.ts";
import { isIntact, type Quarantine } from "./quarantine.ts";
import type { Recent } from "./recent.ts";
import { CLOCKS_MS, type StoreTime } from "./time.ts";
import type { Topology } from "./topology.ts";

const COLUMNS = "seq, stored_at, deliver_at, partition_key, attributes, headers, body, crc";
const SQL = {
  run: `SELECT ${COLUMNS} FROM messages WHERE lane_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?`,
  head: "SELECT min(seq) AS seq FROM messages WHERE lane_id = ? AND seq > ?",
};

/** Messages looked at for one member in one turn, handed out or not. */
const SCAN = 1024;
/** Messages of one channel that may wait for their keys in one group; then the channel waits for them. */
const MAX_BLOCKED = 10_000;
/** After this many dead holders a message is handed out alone. */
const SUSPECT = 2;

/** What serving needs of the store. */
export interface ServeParts {
  readonly db: Database;
  readonly topology: Topology;
  readonly recent: Recent;
  readonly time: StoreTime;
  readonly cursors: Cursors;
  readonly claims: Claims;
  readonly exceptions: Exceptions;
  readonly quarantine: Quarantine;
  readonly leaseMs: number;
}

/** One member being served. */
interface Taking {
  readonly member: Member;
  readonly out: Deliveries;
  readonly now: number;
  readonly wall: number;
  readonly leaseUntil: number;
}

/** Hands messages to members: what came back first, then what is new, by priority and by age. */
export class Serve {
  readonly #parts: ServeParts;
  readonly #sql: Statements<typeof SQL>;
  #scanned = 0;
  readonly #keyRoom = new Map<Group, Map<Channel, number>>();

  constructor(parts: ServeParts) {
    this.#parts = parts;
    this.#sql = parts.db.prepareAll(SQL);
  }

  /** True when the last `take` stopped before it had seen all that might be there. */
  get isUnfinished(): boolean {
    return this.#scanned >= SCAN;
  }

  /** A turn begins. */
  begin(): void {
    this.#keyRoom.clear();
  }

  /** Hands out at most what the member wants; gives how many. */
  take(member: Member, out: Deliveries): number {
    this.#scanned = 0;
    const room = Math.min(member.wanted, out.room);
    if (room <= 0 || member.isAlone) return 0;
    const { time } = this.#parts;
    const now = time.monotonic();
    const taking: Taking = { member, out, now, wall: time.wall(), leaseUntil: now + this.#parts.leaseMs };
    const returned = this.#returned(taking, room);
    const suspect = returned.find(({ lost }) => lost >= SUSPECT);
    if (suspect !== undefined) return this.#takeAlone(taking, suspect);
    const end = out.count + room;
    let next = 0;
    const giveThrough = (priority: number): void => {
      for (; out.count < end && next < returned.length; next++) {
        const row = returned[next] as ReadyRow;
        if (row.priority > priority) return;
        this.#giveAgain(taking, row, false);
      }
    };
    for (const lane of this.#lanes(member)) {
      giveThrough(member.strict ? Infinity : lane.priority);
      if (out.count >= end) break;
      this.#giveFresh(taking, lane, end);
    }
    giveThrough(Infinity);
    this.#findDue(member.group, returned);
    return out.count - (end - room);
  }

  #findDue(group: Group, rows: readonly ReadyRow[]): void {
    const channels = new Set(rows.map(({ lane_id }) => this.#parts.topology.lanes.get(lane_id)?.channel));
    for (const channel of channels) if (channel !== undefined) this.#parts.exceptions.findDue(group, channel);
  }

  /** What came back and is ready, most urgent first. */
  #returned({ member, now }: Taking, room: number): ReadyRow[] {
    const { group } = member;
    const rows: ReadyRow[] = [];
    for (const [channel, at] of group.due) {
      if (at > now || !member.covers(channel)) continue;
      rows.push(...this.#parts.exceptions.ready(group, channel, now, room));
    }
    if (member.strict) return rows.toSorted((a, b) => a.seq - b.seq);
    return rows.toSorted((a, b) => a.priority - b.priority || a.seq - b.seq);
  }

  /**
   * A message whose holders died twice may be what killed them: it is handed out alone, so that it cannot drag others
   * into the dead letters. Until the member holds nothing it gets nothing.
   */
  #takeAlone(taking: Taking, suspect: ReadyRow): number {
    const { member } = taking;
    if (member.holding > 0 || this.#parts.exceptions.alone > 0) return 0;
    member.isAlone = this.#giveAgain(taking, suspect, true);
    this.#findDue(member.group, [suspect]);
    return member.isAlone ? 1 : 0;
  }

  #giveAgain({ member, out, now, wall, leaseUntil }: Taking, row: ReadyRow, isAlone: boolean): boolean {
    const { exceptions, quarantine, topology } = this.#parts;
    const { group } = member;
    const { seq, key, attempt, lost, failures } = row;
    const lane = topology.lanes.get(row.lane_id);
    if (lane === undefined) return false;
    if (row.attributes === null) {
      // Purged or erased while it was out.
      exceptions.end(group, { lane, seq, key }, now);
      return false;
    }
    if (key !== null && exceptions.blockBehind(group, lane.channel, key, seq)) return false;
    const message = row as MessageRow;
    if (!isIntact(message, lane.id)) {
      quarantine.put(lane, message, wall, group);
      exceptions.end(group, { lane, seq, key }, now);
      return false;
    }
    const what: Exception = { lane, seq, key, attempt, lost, failures };
    const token = exceptions.take(member, what, leaseUntil, isAlone);
    member.holding++;
    out.add(member, lane.channel.name, message, { ref: -token, attempt, failures });
    return true;
  }

  /** Lanes that may hold something new for the member, in the order they are to be read. */
  #lanes(member: Member): Lane[] {
    const { group } = member;
    const { topology } = this.#parts;
    const lanes: Lane[] = [];
    const candidates = member.isWild ? group.behind : (topology.channels.get(member.pattern)?.lanes ?? []);
    for (const lane of candidates) {
      const cursor = this.#parts.cursors.get(group, lane);
      if (cursor === undefined || cursor.seq >= lane.lastSeq) {
        if (member.isWild) group.behind.delete(lane);
      } else if (member.covers(lane.channel)) lanes.push(lane);
    }
    if (lanes.length < 2) return lanes;
    const seqOf = (lane: Lane): number => (group.cursors.get(lane) as Cursor).seq;
    return lanes.toSorted((a, b) => (member.strict ? 0 : a.priority - b.priority) || seqOf(a) - seqOf(b));
  }

  #giveFresh(taking: Taking, lane: Lane, end: number): void {
    const { member, out } = taking;
    const cursor = this.#parts.cursors.get(member.group, lane) as Cursor;
    const through = member.strict ? this.#strictEnd(member, lane, cursor) : lane.lastSeq;
    while (out.count < end && cursor.seq < through && this.#scanned < SCAN && out.roomBytes > 0) {
      const most = Math.max(1, Math.floor(out.roomBytes / (lane.bodyBytes + 1)));
      const limit = Math.min(end - out.count, SCAN - this.#scanned, most);
      const recent = this.#parts.recent.read(lane, cursor.seq, through, limit);
      const rows = recent ?? this.#read(lane, cursor.seq, through, limit);
      this.#scanned += rows.length;
      const isWhole = this.#giveRun(taking, lane, cursor, rows);
      if (isWhole && rows.length < limit) cursor.seq = through;
      if (recent === undefined && cursor.seq >= lane.lastSeq) this.#account(member.group, lane, cursor);
      this.#parts.cursors.moved(member.group, lane, cursor);
      if (!isWhole) return;
    }
  }

  /** At the end of a lane as many were read as were written, or a page of the index or of the cursors is damaged. */
  #account(group: Group, lane: Lane, cursor: Cursor): void {
    const missing = this.#parts.cursors.unread(lane, cursor);
    if (missing === 0) return;
    cursor.passed += missing;
    this.#parts.quarantine.miscounted(lane, group, missing);
  }

  #read(lane: Lane, after: number, through: number, limit: number): readonly MessageRow[] {
    const rows = this.#sql.run.all(lane.id, after, through, limit) as unknown as MessageRow[];
    for (const row of rows) if (!isIntact(row, lane.id)) row.isDamaged = true;
    return rows;
  }

  /** Under strict order a run ends where another lane of the channel has an older message. */
  #strictEnd({ group }: Member, lane: Lane, cursor: Cursor): number {
    const head = this.#head(lane, cursor.seq);
    let end = lane.lastSeq;
    for (const other of lane.channel.lanes) {
      const rival = other === lane ? undefined : this.#parts.cursors.get(group, other);
      if (rival === undefined || rival.seq >= other.lastSeq) continue;
      const otherHead = this.#head(other, rival.seq);
      if (otherHead < head) return cursor.seq;
      end = Math.min(end, otherHead - 1);
    }
    return end;
  }

  #head(lane: Lane, after: number): number {
    return (this.#sql.head.get(lane.id, after) as { seq: number | null }).seq ?? Infinity;
  }

  /** False when it stopped because too many messages wait for their keys. */
  #giveRun(taking: Taking, lane: Lane, cursor: Cursor, rows: readonly MessageRow[]): boolean {
    const { member, wall } = taking;
    let run: Run | undefined;
    let bytes = 0;
    for (const row of rows) {
      const isKeyed = row.partition_key !== null;
      if (isKeyed && this.#roomBehindKeys(member.group, lane.channel) <= 0) {
        run?.give(this.#parts, taking);
        return false;
      }
      cursor.seq = row.seq;
      cursor.passed++;
      bytes += row.body.byteLength;
      if (row.isDamaged === true) this.#parts.quarantine.put(lane, row, wall, member.group);
      else if (row.deliver_at !== null && row.deliver_at + CLOCKS_MS > wall) this.#delay(taking, lane, row);
      else if (isKeyed) {
        run?.give(this.#parts, taking);
        run = undefined;
        this.#giveKeyed(taking, lane, row);
      } else {
        run ??= new Run(taking, lane, row);
        if (!run.add(row)) {
          run.give(this.#parts, taking);
          run = new Run(taking, lane, row);
          run.add(row);
        }
      }
    }
    run?.give(this.#parts, taking);
    if (rows.length > 0) lane.bodyBytes = Math.ceil(bytes / rows.length);
    return true;
  }

  #delay({ member, now, wall }: Taking, lane: Lane, row: MessageRow): void {
    const what = { lane, seq: row.seq, key: row.partition_key, attempt: 1, lost: 0, failures: null };
    const readyAt = now + ((row.deliver_at as number) - wall) + CLOCKS_MS;
    this.#parts.exceptions.wait(member.group, what, readyAt, false);
  }

  #giveKeyed({ member, out, leaseUntil }: Taking, lane: Lane, row: MessageRow): void {
    const { exceptions } = this.#parts;
    const { seq, partition_key: key } = row;
    const what: Exception = { lane, seq, key, attempt: 1, lost: 0, failures: null };
    if (exceptions.isHeld(member.group, lane.channel, key as string)) {
      exceptions.block(member.group, what);
      const rooms = this.#keyRoom.get(member.group) as Map<Channel, number>;
      rooms.set(lane.channel, (rooms.get(lane.channel) as number) - 1);
      return;
    }
    const token = exceptions.takeFresh(member, what, leaseUntil);
    member.holding++;
    out.add(member, lane.channel.name, row, { ref: -token, attempt: 1, failures: null });
  }

  /** How many more may wait for their keys; counted once a turn. */
  #roomBehindKeys(group: Group, channel: Channel): number {
    let rooms = this.#keyRoom.get(group);
    if (rooms === undefined) this.#keyRoom.set(group, (rooms = new Map()));
    let room = rooms.get(channel);
    if (room === undefined) {
      room = MAX_BLOCKED - this.#parts.exceptions.countBlocked(group, channel);
      rooms.set(channel, room);
    }
    return room;
  }
}

/** A run of messages that is being gathered for one claim. */
class Run {
  readonly #claim: Claim;
  readonly #rows: MessageRow[] = [];

  constructor({ member, leaseUntil }: Taking, lane: Lane, first: MessageRow) {
    this.#claim = new Claim(member, lane, first.seq, leaseUntil);
  }

  /** False when it is too far from the first. */
  add(row: MessageRow): boolean {
    if (!this.#claim.add(row.seq)) return false;
    this.#rows.push(row);
    return true;
  }

  give({ claims, recent }: Pick<ServeParts, "claims" | "recent">, { member, out }: Taking): void {
    claims.insert(this.#claim);
    const { id, lane } = this.#claim;
    const handing = { ref: id, attempt: 1, failures: null };
    for (const row of this.#rows) {
      row.isEcho = recent.isEcho(row);
      out.add(member, lane.channel.name, row, handing);
    }
    member.holding += this.#rows.length;
  }
}
