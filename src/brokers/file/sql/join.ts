import { HeraldError } from "../../../core/errors.ts";
import { isWildcard } from "../../../core/pattern.ts";
import type { Start } from "../protocol.ts";
import type { Cursors } from "./cursors.ts";
import type { Database, Statements } from "./database.ts";
import type { Exceptions } from "./exceptions.ts";
import { Member, type Channel, type Group, type Lane, type Pattern } from "./model.ts";
import { CLOCKS_MS } from "./time.ts";
import type { Topology } from "./topology.ts";

const SQL = {
  at: "SELECT seq, stored_at FROM messages WHERE seq >= ? ORDER BY seq LIMIT 1",
  deletePatterns: "DELETE FROM patterns WHERE group_id = ?",
  deleteCursors: "DELETE FROM cursors WHERE group_id = ?",
  deleteClaims: "DELETE FROM claims WHERE group_id = ?",
  deleteExceptions: "DELETE FROM exceptions WHERE group_id = ?",
  deleteGroup: "DELETE FROM groups WHERE id = ?",
  deletePattern: "DELETE FROM patterns WHERE id = ?",
  deleteLaneCursor: "DELETE FROM cursors WHERE group_id = ? AND lane_id = ?",
  deleteLaneClaims: "DELETE FROM claims WHERE group_id = ? AND lane_id = ?",
  deleteLaneExceptions: "DELETE FROM exceptions WHERE group_id = ? AND lane_id = ?",
  broadcasts: "SELECT id FROM groups WHERE owner = ?",
};

/** Who asks to read what. */
export interface Wish {
  readonly member: number;
  readonly client: number;
  readonly pattern: string;
  readonly group: string | null;
  readonly strict: boolean;
  readonly from: Start;
}

/** What joining needs of the store. */
export interface JoinParts {
  readonly db: Database;
  readonly topology: Topology;
  readonly cursors: Cursors;
  readonly exceptions: Exceptions;
  readonly owner: number;
}

/** Groups begin, members come and go. */
export class Join {
  readonly #parts: JoinParts;
  readonly #sql: Statements<typeof SQL>;

  constructor(parts: JoinParts) {
    this.#parts = parts;
    this.#sql = parts.db.prepareAll(SQL);
  }

  /** Throws `CONFLICT` when the group reads the pattern with the other ordering and is not idle. */
  join(wish: Wish): Member {
    const { exceptions, topology, owner } = this.#parts;
    const { pattern, strict } = wish;
    const known = wish.group === null ? undefined : topology.group(wish.group);
    const group = known ?? topology.createGroup(wish.group, wish.group === null ? owner : null);
    const reading = group.patterns.get(pattern);
    if (reading === undefined)
      this.#begin(topology.createPattern(group, pattern, strict, this.#startOf(wish.from)));
    else if (reading.strict !== strict) this.#change(reading, strict);
    const member = new Member(wish.member, wish.client, group, { pattern, strict });
    group.members.add(member);
    if (group.members.size === 1) exceptions.findAllDue(group, (id) => topology.channelOf(id));
    if (member.isWild) this.#lookBehind(member);
    return member;
  }

  leave(member: Member): void {
    const { group } = member;
    group.stopWaiting(member);
    group.members.delete(member);
    if (!member.isWild) return;
    group.wildMembers--;
    if (group.wildMembers === 0) group.behind.clear();
  }

  /** Ends a private group with everything that belongs to it. */
  end(group: Group): void {
    this.#deleteRows(group.id);
    this.#parts.topology.forgetGroup(group);
  }

  /** A group does not read a pattern any more; with its last pattern the group itself is gone. */
  drop(name: string, pattern: string): void {
    const { topology } = this.#parts;
    const group = topology.group(name);
    const reading = group?.patterns.get(pattern);
    if (group === undefined || reading === undefined) return;
    this.#parts.cursors.flush();
    if (group.patterns.size === 1) return this.end(group);
    this.#sql.deletePattern.run(reading.id);
    topology.forgetPattern(reading);
    for (const channel of topology.channels.values()) {
      if (!reading.covers(channel) || topology.startOf(group, channel) !== undefined) continue;
      for (const lane of channel.lanes)
        for (const statement of [
          this.#sql.deleteLaneCursor,
          this.#sql.deleteLaneClaims,
          this.#sql.deleteLaneExceptions,
        ])
          statement.run(group.id, lane.id);
      group.forgetChannel(channel);
    }
  }

  /** Ends the private groups of a process that is gone. */
  endAllOf(owner: number): void {
    for (const { id } of this.#sql.broadcasts.all(owner) as unknown as { id: number }[]) {
      this.#deleteRows(id);
      const group = this.#parts.topology.groups.get(id);
      if (group !== undefined) this.#parts.topology.forgetGroup(group);
    }
  }

  /** A lane has messages: members with wildcards are to look at it. */
  noteGrown(lane: Lane): void {
    for (const group of this.#parts.topology.route(lane.channel))
      if (group.wildMembers > 0) group.behind.add(lane);
  }

  /** The group has a place in everything that its new pattern covers. */
  #begin(pattern: Pattern): void {
    const { channels } = this.#parts.topology;
    const only = channels.get(pattern.pattern);
    for (const channel of isWildcard(pattern.pattern) ? channels.values() : only === undefined ? [] : [only])
      if (pattern.covers(channel))
        for (const lane of channel.lanes) this.#parts.cursors.get(pattern.group, lane);
  }

  #deleteRows(group: number): void {
    for (const statement of [
      this.#sql.deletePatterns,
      this.#sql.deleteCursors,
      this.#sql.deleteClaims,
      this.#sql.deleteExceptions,
      this.#sql.deleteGroup,
    ])
      statement.run(group);
  }

  #lookBehind(member: Member): void {
    const { group } = member;
    group.wildMembers++;
    for (const channel of this.#parts.topology.channels.values()) {
      if (!member.covers(channel)) continue;
      for (const lane of channel.lanes)
        if ((this.#parts.cursors.get(group, lane)?.seq ?? Infinity) < lane.lastSeq) group.behind.add(lane);
    }
  }

  #change(reading: Pattern, strict: boolean): void {
    const { group, pattern } = reading;
    const isRead = [...group.members].some((member) => member.pattern === pattern);
    if (isRead || this.#hasUnread(reading)) throw otherOrdering(reading);
    this.#parts.topology.changePattern(reading, strict, reading.startSeq);
  }

  #hasUnread(reading: Pattern): boolean {
    const { cursors, exceptions, topology } = this.#parts;
    const isUnread = (channel: Channel): boolean =>
      channel.lanes.some((lane) => (cursors.get(reading.group, lane)?.seq ?? Infinity) < lane.lastSeq);
    exceptions.findAllDue(reading.group, (id) => topology.channelOf(id));
    for (const channel of topology.channels.values())
      if (reading.covers(channel) && (isUnread(channel) || reading.group.due.has(channel))) return true;
    return false;
  }

  /** The last position that is not read. */
  #startOf(from: Start): number {
    if (from === "new") return this.#parts.topology.seq;
    if (from === "earliest") return 0;
    if ("position" in from) return Math.max(0, from.position - 1);
    return this.#before(from.time - CLOCKS_MS);
  }

  /** The last position that was stored before a time. Messages are stored in the order of time. */
  #before(time: number): number {
    let low = 0;
    let high = this.#parts.topology.seq + 1;
    while (low + 1 < high) {
      const middle = Math.floor((low + high) / 2);
      const row = this.#sql.at.get(middle) as { seq: number; stored_at: number } | undefined;
      if (row === undefined || row.stored_at >= time) high = middle;
      else low = row.seq;
    }
    return low;
  }
}

function otherOrdering({ group, pattern, strict }: Pattern): HeraldError {
  const message = `Group '${group.name}' reads '${pattern}' with ordering '${strict ? "strict" : "relaxed"}': subscribe with the same ordering, or under another group.`;
  return new HeraldError("CONFLICT", message, {
    retryable: false,
    details: { field: "ordering", group: group.name, pattern },
  });
}
