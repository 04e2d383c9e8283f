import type { Claims } from "./claims.ts";
import type { Cursors } from "./cursors.ts";
import type { Database, Statements } from "./database.ts";
import type { MessageRow } from "./deliveries.ts";
import type { Exceptions } from "./exceptions.ts";
import type { Channel, Lane } from "./model.ts";
import { TRANSIENT_PREFIX } from "./append.ts";
import { isIntact, type Quarantine } from "./quarantine.ts";
import type { Recent } from "./recent.ts";
import type { StoreTime } from "./time.ts";
import type { Topology } from "./topology.ts";

const SQL = {
  retain: "UPDATE channels SET retention_ms = ? WHERE id = ?",
  held: "SELECT held FROM lanes WHERE id = ?",
  purge: "UPDATE lanes SET purged_seq = last_seq, held = 0, first_seq = -1 WHERE id = ?",
  doom: `INSERT INTO doomed(lane_id, through_seq) VALUES (?, ?)
    ON CONFLICT (lane_id) DO UPDATE SET through_seq = excluded.through_seq`,
  deleteWaiting: "DELETE FROM exceptions WHERE channel_id = ? AND state <> 1",
  deleteAside: "DELETE FROM exceptions WHERE channel_id = ?",
  deleteClaims: "DELETE FROM claims WHERE lane_id = ?",
  deleteCursors: "DELETE FROM cursors WHERE lane_id = ?",
  deleteLanes: "DELETE FROM lanes WHERE channel_id = ?",
  deleteChannel: "DELETE FROM channels WHERE id = ?",
  browse: `SELECT m.seq, m.stored_at, m.deliver_at, m.partition_key, m.attributes, m.headers, m.body, m.crc
    FROM messages m JOIN lanes l ON l.id = m.lane_id
    WHERE m.lane_id = ? AND m.seq > max(?, l.purged_seq) ORDER BY m.seq LIMIT ?`,
  find: "SELECT lane_id FROM messages WHERE seq = ?",
  aside:
    "SELECT group_id, partition_key AS key FROM exceptions WHERE seq = ? AND group_id = ? AND state <> 1",
  erase: "DELETE FROM messages WHERE seq = ?",
  erased: "UPDATE lanes SET held = held - 1, first_seq = -1 WHERE id = ?",
};

/** What looking after channels needs of the store. */
export interface LookAfterParts {
  readonly db: Database;
  readonly topology: Topology;
  readonly cursors: Cursors;
  readonly claims: Claims;
  readonly exceptions: Exceptions;
  readonly quarantine: Quarantine;
  readonly recent: Recent;
  readonly time: StoreTime;
  readonly maxChannels: number;
}

/** Makes, empties, forgets and shows channels. */
export class LookAfter {
  readonly #parts: LookAfterParts;
  readonly #sql: Statements<typeof SQL>;

  constructor(parts: LookAfterParts) {
    this.#parts = parts;
    this.#sql = parts.db.prepareAll(SQL);
  }

  declare(name: string, retentionMs: number | null): void {
    const channel = this.#parts.topology.channel(name, this.#parts.maxChannels);
    if (retentionMs === null || retentionMs === channel.retentionMs) return;
    channel.retentionMs = retentionMs;
    this.#sql.retain.run(retentionMs, channel.id);
    this.#parts.topology.restructured();
  }

  /** Empties a channel at once: its rows are deleted later, in slices. What is handed out is left to its holder. */
  purge(name: string): number {
    const channel = this.#parts.topology.channels.get(name);
    if (channel === undefined) return 0;
    this.#parts.recent.clear();
    let count = 0;
    for (const lane of channel.lanes) {
      count += (this.#sql.held.get(lane.id) as { held: number }).held;
      this.#parts.cursors.toEnd(lane);
      this.#sql.purge.run(lane.id);
      this.#sql.doom.run(lane.id, lane.lastSeq);
      lane.firstSeq = -1;
    }
    this.#sql.deleteWaiting.run(channel.id);
    for (const group of this.#parts.topology.groups.values()) group.due.delete(channel);
    this.#parts.topology.restructured();
    return count;
  }

  /** Forgets a channel with everything that belongs to it. */
  remove(name: string): number {
    const channel = this.#parts.topology.channels.get(name);
    if (channel === undefined) return 0;
    const count = this.purge(name);
    this.#sql.deleteAside.run(channel.id);
    for (const lane of channel.lanes) {
      this.#sql.deleteClaims.run(lane.id);
      this.#sql.deleteCursors.run(lane.id);
    }
    this.#sql.deleteLanes.run(channel.id);
    this.#sql.deleteChannel.run(channel.id);
    this.#parts.topology.forgetChannel(channel);
    this.#parts.claims.revalidate();
    this.#parts.exceptions.revalidate();
    return count;
  }

  /** Forgets channels of replies that nobody reads any more. */
  removeReplies(names: Iterable<string>): void {
    const { topology } = this.#parts;
    for (const name of names)
      if (
        name.startsWith(TRANSIENT_PREFIX) &&
        topology.channels.has(name) &&
        topology.routeOf(name).length === 0
      )
        this.remove(name);
  }

  /** What a channel holds after a position, oldest first. */
  browse(name: string, after: number, limit: number): MessageRow[] {
    const channel = this.#parts.topology.channels.get(name);
    if (channel === undefined || limit <= 0) return [];
    const rows = channel.lanes.flatMap((lane) => this.#intact(lane, after, limit));
    return rows.toSorted((a, b) => a.seq - b.seq).slice(0, limit);
  }

  /** Takes single messages out; gives how many were there. */
  erase(name: string, positions: readonly number[]): number {
    const channel = this.#parts.topology.channels.get(name);
    if (channel === undefined) return 0;
    this.#parts.recent.clear();
    let count = 0;
    for (const seq of positions) if (this.#eraseOne(channel, seq)) count++;
    return count;
  }

  #intact(lane: Lane, after: number, limit: number): MessageRow[] {
    const rows = this.#sql.browse.all(lane.id, after, limit) as unknown as MessageRow[];
    return rows.filter((row) => {
      if (isIntact(row, lane.id)) return true;
      this.#parts.quarantine.put(lane, row, this.#parts.time.wall(), undefined);
      return false;
    });
  }

  #eraseOne(channel: Channel, seq: number): boolean {
    const { topology, exceptions, cursors, time } = this.#parts;
    const row = this.#sql.find.get(seq) as { lane_id: number } | undefined;
    const lane = row === undefined ? undefined : channel.lanes.find(({ id }) => id === row.lane_id);
    if (lane === undefined) return false;
    this.#sql.erase.run(seq);
    this.#sql.erased.run(lane.id);
    lane.firstSeq = -1;
    cursors.erased(lane, seq, undefined);
    for (const group of topology.route(channel)) {
      const aside = this.#sql.aside.get(seq, group.id) as { key: string | null } | undefined;
      if (aside !== undefined) exceptions.end(group, { lane, seq, key: aside.key }, time.monotonic());
    }
    return true;
  }
}
