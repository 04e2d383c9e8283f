import type { Failure } from "../../../core/delivery.ts";
import { withFailure } from "../../shared/failures.ts";
import type { Database, Statements } from "./database.ts";
import type { MessageRow } from "./deliveries.ts";
import type { Channel, Group, Lane, Member } from "./model.ts";

/** What an exception does: see the schema. */
export const STATE = { waits: 0, out: 1, blocked: 2 } as const;

const OF_KEY = "group_id = ? AND channel_id = ? AND partition_key = ?";
const SQL = {
  put: `INSERT OR REPLACE INTO exceptions(group_id, seq, lane_id, channel_id, priority, partition_key, attempt, lost, state,
    holds, ready_at, failures, owner, token, lease_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ready: `SELECT e.seq AS seq, e.lane_id, e.priority, e.partition_key AS key, e.attempt, e.lost, e.holds, e.failures,
    m.stored_at, m.deliver_at, m.partition_key, m.attributes, m.headers, m.body, m.crc
    FROM exceptions e LEFT JOIN messages m ON m.seq = e.seq
    WHERE e.group_id = ? AND e.channel_id = ? AND e.state = 0 AND e.ready_at <= ? ORDER BY e.priority, e.seq LIMIT ?`,
  firstDue: "SELECT min(ready_at) AS at FROM exceptions WHERE group_id = ? AND channel_id = ? AND state = 0",
  due: "SELECT channel_id, min(ready_at) AS at FROM exceptions WHERE group_id = ? AND state = 0 GROUP BY channel_id",
  handOut:
    "UPDATE exceptions SET state = 1, owner = ?, token = ?, lease_until = ? WHERE group_id = ? AND seq = ?",
  block: "UPDATE exceptions SET state = 2, holds = 0 WHERE group_id = ? AND seq = ?",
  wake: "UPDATE exceptions SET state = 0, holds = 1, ready_at = ? WHERE group_id = ? AND seq = ?",
  delete: "DELETE FROM exceptions WHERE group_id = ? AND seq = ?",
  extend: "UPDATE exceptions SET lease_until = ? WHERE group_id = ? AND seq = ?",
  holder: `SELECT 1 FROM exceptions WHERE ${OF_KEY} AND (state <> 0 OR holds = 1) LIMIT 1`,
  rival: `SELECT 1 FROM exceptions WHERE ${OF_KEY} AND seq <> ? AND (state = 1 OR (state = 0 AND holds = 1)) LIMIT 1`,
  blocked: `SELECT seq FROM exceptions WHERE ${OF_KEY} AND state = 2 ORDER BY seq LIMIT 1`,
  countBlocked: "SELECT count(*) AS n FROM exceptions WHERE group_id = ? AND channel_id = ? AND state = 2",
  own: "SELECT token FROM exceptions WHERE state = 1 AND owner = ?",
  over: "SELECT * FROM exceptions WHERE state = 1 AND lease_until < ? LIMIT 1000",
  of: "SELECT * FROM exceptions WHERE state = 1 AND owner = ? LIMIT 1000",
  next: "SELECT min(lease_until) AS at FROM exceptions WHERE state = 1",
};

/** Failures as they are stored, with one more. */
export function storedWith(stored: string | null, failure: Failure | undefined): string | null {
  if (failure === undefined) return stored;
  const failures = stored === null ? [] : (JSON.parse(stored) as Failure[]);
  return JSON.stringify(withFailure(failures, failure));
}

/** How a message is put aside. */
interface Placing {
  readonly state: number;
  readonly holds?: boolean;
  readonly readyAt?: number;
  readonly token?: number;
  readonly leaseUntil?: number;
}

/** What is to be known of a message that leaves the straight path. */
export interface Exception {
  readonly lane: Lane;
  readonly seq: number;
  readonly key: string | null;
  readonly attempt: number;
  /** How many of its holders died. */
  readonly lost: number;
  readonly failures: string | null;
}

/** An exception that is ready, with its message; without attributes the message is gone. */
export type ReadyRow = Omit<MessageRow, "attributes"> & {
  readonly lane_id: number;
  readonly priority: number;
  readonly key: string | null;
  readonly attempt: number;
  readonly lost: number;
  readonly failures: string | null;
  readonly attributes: string | null;
};

/** An exception that is handed out, as it is stored. */
export interface OutRow {
  readonly group_id: number;
  readonly seq: number;
  readonly lane_id: number;
  readonly partition_key: string | null;
  readonly attempt: number;
  readonly lost: number;
  readonly failures: string | null;
  readonly owner: number;
  readonly token: number;
}

/** An exception that a member of this process holds. */
export class Out {
  readonly member: Member;
  readonly what: Exception;
  readonly isAlone: boolean;

  constructor(member: Member, what: Exception, isAlone: boolean) {
    this.member = member;
    this.what = what;
    this.isAlone = isAlone;
  }
}

/** Messages of a group that left the straight path: failed, delayed, given back, or with a key. */
export class Exceptions {
  /** What this process holds, by token. */
  readonly own = new Map<number, Out>();
  /** How many messages of this process are handed out alone. */
  alone = 0;
  readonly #sql: Statements<typeof SQL>;
  readonly #owner: number;
  readonly #onReady: (group: Group) => void;
  /** Let go of in this transaction. */
  readonly #released = new Map<number, Out>();
  #token = 0;

  constructor(db: Database, owner: number, onReady: (group: Group) => void) {
    this.#sql = db.prepareAll(SQL);
    this.#owner = owner;
    this.#onReady = onReady;
  }

  /** Puts a message aside until `readyAt`; `holds`: the later ones of its key wait for it. */
  wait(group: Group, what: Exception, readyAt: number, holds: boolean): void {
    this.#put(group, what, { state: STATE.waits, holds, readyAt });
    this.#isDue(group, what.lane.channel, readyAt);
  }

  /** Puts a message behind those of its key. */
  block(group: Group, what: Exception): void {
    this.#put(group, what, { state: STATE.blocked });
  }

  /** Hands out a message that was not aside before; gives its token. */
  takeFresh(member: Member, what: Exception, leaseUntil: number): number {
    const token = ++this.#token;
    this.#put(member.group, what, { state: STATE.out, token, leaseUntil });
    this.own.set(token, new Out(member, what, false));
    return token;
  }

  /** Hands out a message that was aside; gives its token. */
  take(member: Member, what: Exception, leaseUntil: number, isAlone: boolean): number {
    const token = ++this.#token;
    this.#sql.handOut.run(this.#owner, token, leaseUntil, member.group.id, what.seq);
    if (isAlone) this.alone++;
    this.own.set(token, new Out(member, what, isAlone));
    return token;
  }

  /** The first that are ready in a channel, the most urgent first. */
  ready(group: Group, channel: Channel, now: number, limit: number): ReadyRow[] {
    return this.#sql.ready.all(group.id, channel.id, now, limit) as unknown as ReadyRow[];
  }

  /** Looks again when the next one of a channel is ready. */
  findDue(group: Group, channel: Channel): void {
    const { at } = this.#sql.firstDue.get(group.id, channel.id) as { at: number | null };
    if (at === null) group.due.delete(channel);
    else group.due.set(channel, at);
  }

  /** Looks again when the next ones of all channels are ready. */
  findAllDue(group: Group, channelOf: (id: number) => Channel | undefined): void {
    group.due.clear();
    const rows = this.#sql.due.all(group.id) as unknown as { channel_id: number; at: number }[];
    for (const { channel_id, at } of rows) {
      const channel = channelOf(channel_id);
      if (channel !== undefined) group.due.set(channel, at);
    }
  }

  /** True when a message of this key is out, or keeps its place before later ones. */
  isHeld(group: Group, channel: Channel, key: string): boolean {
    return this.#sql.holder.get(group.id, channel.id, key) !== undefined;
  }

  /** Puts a message that is ready behind another of its key that is out; true when there is one. */
  blockBehind(group: Group, channel: Channel, key: string, seq: number): boolean {
    if (this.#sql.rival.get(group.id, channel.id, key, seq) === undefined) return false;
    this.#sql.block.run(group.id, seq);
    return true;
  }

  countBlocked(group: Group, channel: Channel): number {
    return (this.#sql.countBlocked.get(group.id, channel.id) as { n: number }).n;
  }

  extend(group: Group, seq: number, leaseUntil: number): void {
    this.#sql.extend.run(leaseUntil, group.id, seq);
  }

  /** A message is done with, or gone. */
  end(group: Group, what: Pick<Exception, "seq" | "key" | "lane">, now: number): void {
    this.#sql.delete.run(group.id, what.seq);
    this.free(group, what, now);
  }

  /** A message does not hold back its key any more: the next one goes, unless another holds it. */
  free(group: Group, what: Pick<Exception, "seq" | "key" | "lane">, now: number): void {
    const { channel } = what.lane;
    if (what.key === null) return;
    const next = this.#sql.blocked.get(group.id, channel.id, what.key) as { seq: number } | undefined;
    if (next === undefined) return;
    if (this.#sql.rival.get(group.id, channel.id, what.key, next.seq) !== undefined) return;
    this.#sql.wake.run(now, group.id, next.seq);
    this.#isDue(group, channel, now);
  }

  /** Takes out of what we hold; undefined when it was settled, or another process took it. */
  release(token: number): Out | undefined {
    const out = this.own.get(token);
    if (out === undefined) return undefined;
    this.own.delete(token);
    this.#released.set(token, out);
    out.member.holding--;
    if (out.isAlone) {
      out.member.isAlone = false;
      this.alone--;
    }
    return out;
  }

  /** A transaction is over and has succeeded. */
  committed(): void {
    this.#released.clear();
  }

  /** A transaction failed: what is stored holds again. */
  restore(): void {
    for (const [token, out] of this.#released) this.own.set(token, out);
    this.#released.clear();
    const rows = this.#sql.own.all(this.#owner) as unknown as { token: number }[];
    const stored = new Set(rows.map(({ token }) => token));
    this.alone = 0;
    for (const [token, out] of this.own) {
      if (!stored.has(token)) this.own.delete(token);
      if (!out.isAlone) continue;
      out.member.isAlone = stored.has(token);
      if (out.member.isAlone) this.alone++;
    }
  }

  /** Forgets what another process has taken from us. */
  revalidate(): void {
    if (this.own.size === 0) return;
    const rows = this.#sql.own.all(this.#owner) as unknown as { token: number }[];
    if (rows.length === this.own.size) return;
    const alive = new Set(rows.map(({ token }) => token));
    for (const token of this.own.keys()) if (!alive.has(token)) this.release(token);
  }

  /** What is handed out and whose lease is over. */
  over(now: number): OutRow[] {
    return this.#sql.over.all(now) as unknown as OutRow[];
  }

  of(owner: number): OutRow[] {
    return this.#sql.of.all(owner) as unknown as OutRow[];
  }

  /** When the first lease is over; Infinity: there is none. */
  next(): number {
    return (this.#sql.next.get() as { at: number | null }).at ?? Infinity;
  }

  #isDue(group: Group, channel: Channel, at: number): void {
    if (group.members.size > 0 && at < (group.due.get(channel) ?? Infinity)) group.due.set(channel, at);
    this.#onReady(group);
  }

  #put(group: Group, { lane, seq, key, attempt, lost, failures }: Exception, how: Placing): void {
    const { state, holds = false, readyAt = 0, token = null, leaseUntil = null } = how;
    this.#sql.put.run(
      group.id,
      seq,
      lane.id,
      lane.channel.id,
      lane.priority,
      key,
      attempt,
      lost,
      state,
      holds ? 1 : 0,
      readyAt,
      failures,
      token === null ? null : this.#owner,
      token,
      leaseUntil,
    );
  }
}
