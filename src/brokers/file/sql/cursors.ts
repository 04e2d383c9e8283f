import type { Database, Statements } from "./database.ts";
import { Cursor, type Group, type Lane } from "./model.ts";
import type { Topology } from "./topology.ts";

const SQL = {
  get: "SELECT seq, passed FROM cursors WHERE group_id = ? AND lane_id = ?",
  put: `INSERT INTO cursors(group_id, lane_id, seq, passed) VALUES (?, ?, ?, ?)
    ON CONFLICT (group_id, lane_id) DO UPDATE SET seq = excluded.seq, passed = excluded.passed`,
  appended: "SELECT appended, purged_seq FROM lanes WHERE id = ?",
  after: "SELECT count(*) AS n FROM messages WHERE lane_id = ? AND seq > ?",
  erased: "UPDATE cursors SET passed = passed + 1 WHERE lane_id = ? AND seq < ? AND group_id <> ?",
  toEnd: `UPDATE cursors SET seq = max(seq, ?), passed = (SELECT appended FROM lanes WHERE id = cursors.lane_id)
    WHERE lane_id = ?`,
};

interface Stored {
  readonly seq: number;
  readonly passed: number;
  /** It has no row yet. */
  readonly isNew: boolean;
}

/** How far each group has read each lane. A group that has read nothing of a lane has no row: it begins where its pattern began. */
export class Cursors {
  readonly #topology: Topology;
  readonly #sql: Statements<typeof SQL>;
  readonly #dirty = new Map<Cursor, readonly [Group, Lane]>();

  constructor(db: Database, topology: Topology) {
    this.#topology = topology;
    this.#sql = db.prepareAll(SQL);
  }

  /** Undefined when the group does not read the lane. */
  get(group: Group, lane: Lane): Cursor | undefined {
    const { epoch } = this.#topology;
    const known = group.cursors.get(lane);
    if (known !== undefined && known.epoch === epoch) return known;
    const row = this.#stored(group, lane);
    if (row === undefined) return undefined;
    if (known === undefined) {
      const cursor = new Cursor(row.seq, row.passed, epoch);
      group.cursors.set(lane, cursor);
      // Stored at once, so that the view `lag` shows also what a group has not begun to read.
      if (row.isNew) this.moved(group, lane, cursor);
      return cursor;
    }
    known.seq = row.seq;
    known.passed = row.passed;
    known.epoch = epoch;
    return known;
  }

  /** Messages of a lane that a cursor has not counted; at the lane's end there must be none. */
  unread(lane: Lane, cursor: Cursor): number {
    return (this.#sql.appended.get(lane.id) as { appended: number }).appended - cursor.passed;
  }

  /** A lane is new: every group that reads its channel has a place in it. */
  begin(lane: Lane): void {
    for (const group of this.#topology.route(lane.channel)) this.get(group, lane);
  }

  moved(group: Group, lane: Lane, cursor: Cursor): void {
    this.#dirty.set(cursor, [group, lane]);
  }

  flush(): void {
    for (const [cursor, [group, lane]] of this.#dirty)
      this.#sql.put.run(group.id, lane.id, cursor.seq, cursor.passed);
    this.#dirty.clear();
  }

  /** One message of a lane is gone: for groups that had not come to it, but for one, it counts as read. */
  erased(lane: Lane, seq: number, but: Group | undefined): void {
    this.flush();
    this.#sql.erased.run(lane.id, seq, but?.id ?? 0);
    this.#forget(lane, but);
  }

  /** Every group has read all of a lane. */
  toEnd(lane: Lane): void {
    this.flush();
    this.#sql.toEnd.run(lane.lastSeq, lane.id);
    this.#forget(lane, undefined);
  }

  forgetDirty(): void {
    this.#dirty.clear();
  }

  #forget(lane: Lane, but: Group | undefined): void {
    for (const group of this.#topology.groups.values()) {
      const cursor = group === but ? undefined : group.cursors.get(lane);
      if (cursor !== undefined) cursor.epoch = -1;
    }
  }

  #stored(group: Group, lane: Lane): Stored | undefined {
    const row = this.#sql.get.get(group.id, lane.id) as { seq: number; passed: number } | undefined;
    if (row !== undefined) return { ...row, isNew: false };
    const start = this.#topology.startOf(group, lane.channel);
    if (start === undefined) return undefined;
    // Made after the group began, with nothing in it then: no counting.
    if (lane.firstSeq > start || lane.lastSeq === 0) return { seq: start, passed: 0, isNew: true };
    const { appended, purged_seq } = this.#sql.appended.get(lane.id) as {
      appended: number;
      purged_seq: number;
    };
    const from = Math.max(start, purged_seq);
    if (lane.lastSeq <= from) return { seq: from, passed: appended, isNew: true };
    const { n } = this.#sql.after.get(lane.id, from) as { n: number };
    return { seq: from, passed: appended - n, isNew: true };
  }
}
