import type { Cursors } from "./cursors.ts";
import type { Database, Statements } from "./database.ts";
import type { Lane } from "./model.ts";
import type { StoreTime } from "./time.ts";
import type { Topology } from "./topology.ts";

const SQL = {
  oldest: "SELECT seq, lane_id, stored_at FROM messages WHERE seq > ? ORDER BY seq LIMIT ?",
  delete: "DELETE FROM messages WHERE seq = ?",
  deleteRange: "DELETE FROM messages WHERE seq BETWEEN ? AND ?",
  held: "UPDATE lanes SET held = held - ?, first_seq = -1 WHERE id = ?",
  claimed: "SELECT min(from_seq) AS seq FROM claims WHERE lane_id = ?",
  aside: "SELECT min(seq) AS seq FROM exceptions WHERE group_id = ?",
  doomed: "SELECT lane_id, through_seq FROM doomed LIMIT 1",
  deleteDoomed:
    "DELETE FROM messages WHERE seq IN (SELECT seq FROM messages WHERE lane_id = ? AND seq <= ? LIMIT ?)",
  undoom: "DELETE FROM doomed WHERE lane_id = ?",
  pages:
    "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count) AS used",
  free: "SELECT freelist_count AS n FROM pragma_freelist_count",
};

const PAGE_BYTES = 4096;
/** Rows looked at in one slice: a few milliseconds at most. */
const SLICE = 1000;
/** Free pages that are given back to the system at once, once there are more than so many. */
const VACUUM_PAGES = 256;
const KEEP_FREE_PAGES = 4096;

interface Row {
  readonly seq: number;
  readonly lane_id: number;
  readonly stored_at: number;
}

/** How long what was read is kept. */
export interface RetentionLimits {
  readonly retainMs: number;
  readonly retainBytes: number;
  readonly deleteProcessed: boolean;
}

/**
 * Deletes what every group has read and acknowledged, once it is old or too much. Never what a group has not. It walks
 * the log from its beginning, in slices.
 */
export class Retention {
  readonly #db: Database;
  readonly #topology: Topology;
  readonly #cursors: Cursors;
  readonly #time: StoreTime;
  readonly #limits: RetentionLimits;
  readonly #sql: Statements<typeof SQL>;
  #at = 0;

  constructor(
    db: Database,
    parts: { topology: Topology; cursors: Cursors; time: StoreTime },
    limits: RetentionLimits,
  ) {
    this.#db = db;
    this.#topology = parts.topology;
    this.#cursors = parts.cursors;
    this.#time = parts.time;
    this.#limits = limits;
    this.#sql = db.prepareAll(SQL);
  }

  /** True when more is stored than may be. A look, without the write lock. */
  get isOverBytes(): boolean {
    return (this.#sql.pages.get() as { used: number }).used * PAGE_BYTES > this.#limits.retainBytes;
  }

  /** True when a slice may find something. A look, without the write lock. */
  get hasWork(): boolean {
    if (this.#limits.deleteProcessed || this.#sql.doomed.get() !== undefined || this.isOverBytes) return true;
    const [oldest] = this.#sql.oldest.all(this.#at, 1) as unknown as Row[];
    if (oldest !== undefined && this.#isOld(oldest, this.#shortest())) return true;
    this.#at = 0;
    return false;
  }

  /** Deletes one slice; true when there may be more to do at once. Within a transaction. */
  slice(): boolean {
    const doomed = this.#sql.doomed.get() as { lane_id: number; through_seq: number } | undefined;
    if (doomed !== undefined) {
      const { changes } = this.#sql.deleteDoomed.run(doomed.lane_id, doomed.through_seq, SLICE);
      if (changes < SLICE) this.#sql.undoom.run(doomed.lane_id);
      return true;
    }
    return this.#sweep();
  }

  /** Gives free pages back to the system, a few at a time. Not within a transaction. */
  shrink(): void {
    if ((this.#sql.free.get() as { n: number }).n > KEEP_FREE_PAGES)
      this.#db.sql.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`);
  }

  #sweep(): boolean {
    const isOver = this.isOverBytes;
    const isEager = isOver || this.#limits.deleteProcessed;
    const shortest = this.#shortest();
    const rows = this.#sql.oldest.all(this.#at, SLICE) as unknown as Row[];
    const floors = new Map<Lane, number>();
    const gone: Row[] = [];
    for (const row of rows) {
      if (!isEager && !this.#isOld(row, shortest)) break;
      this.#at = row.seq;
      const lane = this.#topology.lanes.get(row.lane_id);
      if (lane !== undefined && this.#mayGo(lane, row, isEager, floors)) gone.push(row);
    }
    if (rows.length < SLICE) this.#at = 0;
    this.#delete(rows, gone);
    return gone.length > 0 && rows.length === SLICE;
  }

  #shortest(): number {
    let shortest = this.#limits.retainMs;
    for (const { retentionMs } of this.#topology.channels.values())
      if (retentionMs !== null && retentionMs < shortest) shortest = retentionMs;
    return shortest;
  }

  #isOld({ stored_at }: Row, ms: number): boolean {
    return this.#time.wall() - stored_at >= ms;
  }

  #mayGo(lane: Lane, row: Row, isEager: boolean, floors: Map<Lane, number>): boolean {
    const { retentionMs } = lane.channel;
    const isWanted =
      retentionMs === null
        ? !isEager && !this.#isOld(row, this.#limits.retainMs)
        : !this.#isOld(row, retentionMs);
    if (isWanted) return false;
    let floor = floors.get(lane);
    if (floor === undefined) floors.set(lane, (floor = this.#floor(lane)));
    return row.seq <= floor;
  }

  /** Everything up to here was acknowledged by every group that reads the lane. */
  #floor(lane: Lane): number {
    const minOf = (row: unknown): number => ((row as { seq: number | null }).seq ?? Infinity) - 1;
    let floor = Math.min(lane.lastSeq, minOf(this.#sql.claimed.get(lane.id)));
    for (const group of this.#topology.route(lane.channel)) {
      floor = Math.min(floor, minOf(this.#sql.aside.get(group.id)));
      floor = Math.min(floor, this.#cursors.get(group, lane)?.seq ?? Infinity);
    }
    return floor;
  }

  #delete(rows: readonly Row[], gone: readonly Row[]): void {
    const [first] = gone;
    const last = gone.at(-1);
    if (first === undefined || last === undefined) return;
    const counts = new Map<number, number>();
    for (const { lane_id } of gone) counts.set(lane_id, (counts.get(lane_id) ?? 0) + 1);
    const spanned = rows.filter(({ seq }) => seq >= first.seq && seq <= last.seq).length;
    if (spanned === gone.length) this.#sql.deleteRange.run(first.seq, last.seq);
    else for (const { seq } of gone) this.#sql.delete.run(seq);
    for (const [id, count] of counts) {
      this.#sql.held.run(count, id);
      const lane = this.#topology.lanes.get(id);
      if (lane !== undefined) lane.firstSeq = -1;
    }
  }
}
