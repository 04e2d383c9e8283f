import type { Database, Statements } from "./database.ts";
import type { Group, Lane, Member } from "./model.ts";

const SQL = {
  insert:
    "INSERT INTO claims(group_id, lane_id, from_seq, to_seq, left, pending, owner, lease_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
  update: "UPDATE claims SET left = ?, pending = ?, lease_until = ? WHERE id = ?",
  delete: "DELETE FROM claims WHERE id = ?",
  own: "SELECT id FROM claims WHERE owner = ?",
  restore: "SELECT left, pending, lease_until FROM claims WHERE id = ?",
  over: "SELECT * FROM claims WHERE lease_until < ? LIMIT 20",
  of: "SELECT * FROM claims WHERE owner = ?",
  next: "SELECT min(lease_until) AS at FROM claims",
};

/** Positions that one claim may span: its pending set has one bit for each. */
const MAX_SPAN = 32_768;

/** A claim as it is stored. */
export interface ClaimRow {
  readonly id: number;
  readonly group_id: number;
  readonly lane_id: number;
  readonly from_seq: number;
  readonly to_seq: number;
  readonly left: number;
  readonly pending: Uint8Array;
  readonly owner: number;
}

/** A run of messages of one lane, handed out together: one row, and one bit a message that is not settled. */
export class Claim {
  id = 0;
  readonly group: Group;
  readonly lane: Lane;
  readonly member: Member;
  readonly from: number;
  to: number;
  left = 0;
  leaseUntil: number;
  readonly #seqs: number[] = [];
  pending = new Uint8Array(0);

  constructor(member: Member, lane: Lane, from: number, leaseUntil: number) {
    this.group = member.group;
    this.lane = lane;
    this.member = member;
    this.from = from;
    this.to = from;
    this.leaseUntil = leaseUntil;
  }

  /** Takes in one more message; false when it is too far from the first. */
  add(seq: number): boolean {
    if (seq - this.from >= MAX_SPAN) return false;
    this.#seqs.push(seq);
    this.to = seq;
    this.left++;
    return true;
  }

  seal(): void {
    this.pending = new Uint8Array(((this.to - this.from) >> 3) + 1);
    for (const seq of this.#seqs) {
      const bit = seq - this.from;
      this.pending[bit >> 3] = (this.pending[bit >> 3] as number) | (1 << (bit & 7));
    }
    this.#seqs.length = 0;
  }

  /** Is it not settled? */
  holds(seq: number): boolean {
    const bit = seq - this.from;
    return bit >= 0 && ((this.pending[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0;
  }

  /** Takes one message out; false when it was settled before. */
  take(seq: number): boolean {
    const bit = seq - this.from;
    const mask = 1 << (bit & 7);
    const byte = this.pending[bit >> 3];
    if (bit < 0 || byte === undefined || (byte & mask) === 0) return false;
    this.pending[bit >> 3] = byte & ~mask;
    this.left--;
    return true;
  }
}

/** The positions that a stored claim still holds. */
export function pendingOf({ from_seq, pending }: Pick<ClaimRow, "from_seq" | "pending">): number[] {
  const seqs: number[] = [];
  for (let at = 0; at < pending.length; at++) {
    const byte = pending[at] as number;
    for (let bit = 0; bit < 8; bit++) if ((byte & (1 << bit)) !== 0) seqs.push(from_seq + at * 8 + bit);
  }
  return seqs;
}

/** The claims of this process, and the rows of all. */
export class Claims {
  readonly own = new Map<number, Claim>();
  readonly #sql: Statements<typeof SQL>;
  readonly #owner: number;
  readonly #dirty = new Set<Claim>();
  /** Ended in this transaction. */
  readonly #ended: Claim[] = [];

  constructor(db: Database, owner: number) {
    this.#sql = db.prepareAll(SQL);
    this.#owner = owner;
  }

  /** Stores a claim that has been filled; it has its number from then on. */
  insert(claim: Claim): void {
    claim.seal();
    const row = this.#sql.insert.get(
      claim.group.id,
      claim.lane.id,
      claim.from,
      claim.to,
      claim.left,
      claim.pending,
      this.#owner,
      claim.leaseUntil,
    );
    claim.id = (row as { id: number }).id;
    this.own.set(claim.id, claim);
  }

  changed(claim: Claim): void {
    this.#dirty.add(claim);
  }

  /** Writes what settlements have changed: one statement a claim, however many were settled. */
  flush(): void {
    for (const claim of this.#dirty) {
      if (claim.left > 0) this.#sql.update.run(claim.left, claim.pending, claim.leaseUntil, claim.id);
      else {
        this.#sql.delete.run(claim.id);
        this.own.delete(claim.id);
        this.#ended.push(claim);
      }
    }
    this.#dirty.clear();
  }

  /** Forgets claims of ours that another process has ended: whoever holds their messages settles nothing any more. */
  revalidate(): void {
    if (this.own.size === 0) return;
    const rows = this.#sql.own.all(this.#owner) as unknown as { id: number }[];
    if (rows.length === this.own.size) return;
    const alive = new Set(rows.map(({ id }) => id));
    for (const claim of this.own.values()) if (!alive.has(claim.id)) this.#drop(claim);
  }

  /** A transaction is over and has succeeded. */
  committed(): void {
    this.#ended.length = 0;
  }

  /** A transaction failed: what is stored holds again. */
  restore(): void {
    this.#dirty.clear();
    for (const claim of this.#ended) this.own.set(claim.id, claim);
    this.#ended.length = 0;
    for (const claim of this.own.values()) {
      type Row = { left: number; pending: Uint8Array<ArrayBuffer>; lease_until: number };
      const row = this.#sql.restore.get(claim.id) as Row | undefined;
      if (row === undefined) {
        this.own.delete(claim.id);
        continue;
      }
      claim.left = row.left;
      claim.pending = row.pending;
      claim.leaseUntil = row.lease_until;
    }
  }

  /** Claims whose lease is over. */
  over(now: number): ClaimRow[] {
    return this.#sql.over.all(now) as unknown as ClaimRow[];
  }

  of(owner: number): ClaimRow[] {
    return this.#sql.of.all(owner) as unknown as ClaimRow[];
  }

  delete(id: number): void {
    this.#sql.delete.run(id);
    const claim = this.own.get(id);
    if (claim !== undefined) this.#drop(claim);
  }

  /** When the first lease is over; Infinity: there is none. */
  next(): number {
    return (this.#sql.next.get() as { at: number | null }).at ?? Infinity;
  }

  #drop(claim: Claim): void {
    this.own.delete(claim.id);
    this.#ended.push(claim);
    this.#dirty.delete(claim);
    claim.member.holding -= claim.left;
  }
}
