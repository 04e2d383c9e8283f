import type { Failure } from "../../../core/delivery.ts";
import { KIND, SETTLE_STRIDE, type SettleBlock } from "../protocol.ts";
import { pendingOf, type Claim, type ClaimRow, type Claims } from "./claims.ts";
import { storedWith, type Exception, type Exceptions, type OutRow } from "./exceptions.ts";
import type { Group, Lane, Member } from "./model.ts";
import type { StoreTime } from "./time.ts";
import type { Topology } from "./topology.ts";

/** What settling needs of the store. */
export interface SettleParts {
  readonly time: StoreTime;
  readonly topology: Topology;
  readonly claims: Claims;
  readonly exceptions: Exceptions;
}

/** How one delivery ends. */
interface Ending {
  readonly isAck: boolean;
  readonly isNack: boolean;
  readonly now: number;
  readonly delayMs: number;
  readonly failure: Failure | undefined;
}

/** Ends, gives back and extends. What names a claim or a token that is over changes nothing. */
export class Settle {
  readonly #parts: SettleParts;

  constructor(parts: SettleParts) {
    this.#parts = parts;
  }

  /** Settles as the member says. */
  settle(member: Member, { numbers, failures }: SettleBlock): void {
    const now = this.#parts.time.monotonic();
    for (let at = 0; at < numbers.length; at += SETTLE_STRIDE) {
      const kind = numbers[at] as number;
      const ref = numbers[at + 1] as number;
      const seq = numbers[at + 2] as number;
      const ms = numbers[at + 3] as number;
      if (kind === KIND.extend) {
        this.#extend(ref, seq, now + ms);
        continue;
      }
      const isNack = kind === KIND.nack;
      const failure = isNack ? failures?.[at / SETTLE_STRIDE] : undefined;
      const end = { isAck: kind === KIND.ack, isNack, now, delayMs: ms > 0 ? ms : 0, failure };
      if (ref > 0) this.#settleClaimed(member, ref, seq, end);
      else this.#settleOut(member, -ref, end);
    }
    this.#parts.claims.flush();
  }

  /** Has the member this delivery still? */
  holds(member: Member, ref: number, seq: number): boolean {
    const { claims, exceptions } = this.#parts;
    if (ref < 0) return exceptions.own.get(-ref)?.member === member;
    const claim = claims.own.get(ref);
    return claim?.member === member && claim.holds(seq);
  }

  /** Gives back everything that the members of a client still hold, as attempts that were made. */
  abandon(isGone: (member: Member) => boolean): void {
    const { claims, exceptions, time } = this.#parts;
    const now = time.monotonic();
    for (const claim of claims.own.values())
      if (isGone(claim.member)) {
        for (const seq of pendingOf({ from_seq: claim.from, pending: claim.pending }))
          this.#giveBack(claim.group, first(claim.lane, seq, 2, 0), now);
        claims.delete(claim.id);
      }
    for (const [token, out] of exceptions.own)
      if (isGone(out.member)) {
        exceptions.release(token);
        const { what, member } = out;
        this.#giveBack(member.group, { ...what, attempt: what.attempt + 1 }, now);
      }
  }

  /** Takes back what a lease no longer covers: each message counts as tried. */
  expireClaim(row: ClaimRow): void {
    const { claims, topology, time } = this.#parts;
    const now = time.monotonic();
    const group = topology.groups.get(row.group_id);
    const lane = topology.lanes.get(row.lane_id);
    if (group !== undefined && lane !== undefined)
      for (const seq of pendingOf(row)) this.#giveBack(group, first(lane, seq, 2, 1), now);
    claims.delete(row.id);
  }

  /** As {@link expireClaim}, for a message of its own. */
  expireOut(row: OutRow, isOurs: boolean): void {
    const { exceptions, topology, time } = this.#parts;
    const group = topology.groups.get(row.group_id);
    const lane = topology.lanes.get(row.lane_id);
    if (isOurs) exceptions.release(row.token);
    if (group === undefined || lane === undefined) return;
    const { seq, partition_key: key, attempt, lost, failures } = row;
    const what = { lane, seq, key, attempt: attempt + 1, lost: lost + 1, failures };
    this.#giveBack(group, what, time.monotonic());
  }

  /** At once, before the later ones of its key. */
  #giveBack(group: Group, what: Exception, now: number): void {
    this.#parts.exceptions.wait(group, what, now, what.key !== null);
  }

  #settleClaimed(member: Member, ref: number, seq: number, end: Ending): void {
    const { claims, exceptions } = this.#parts;
    const claim = claims.own.get(ref);
    if (claim === undefined || claim.member !== member || !claim.take(seq)) return;
    member.holding--;
    claims.changed(claim);
    if (end.isAck) return;
    const what = {
      ...first(claim.lane, seq, end.isNack ? 2 : 1, 0),
      failures: storedWith(null, end.failure),
    };
    exceptions.wait(claim.group, what, end.now + end.delayMs, false);
  }

  #settleOut(member: Member, token: number, end: Ending): void {
    const { exceptions } = this.#parts;
    if (exceptions.own.get(token)?.member !== member) return;
    const { what } = exceptions.release(token) as { what: Exception };
    const { group } = member;
    if (end.isAck) {
      exceptions.end(group, what, end.now);
      return;
    }
    const attempt = what.attempt + (end.isNack ? 1 : 0);
    const back: Exception = { ...what, attempt, failures: storedWith(what.failures, end.failure) };
    const holds = what.key !== null && (member.strict || end.delayMs === 0);
    exceptions.wait(group, back, end.now + end.delayMs, holds);
    if (!holds) exceptions.free(group, what, end.now);
  }

  #extend(ref: number, seq: number, leaseUntil: number): void {
    const { claims, exceptions } = this.#parts;
    if (ref > 0) {
      const claim: Claim | undefined = claims.own.get(ref);
      if (claim === undefined || claim.leaseUntil >= leaseUntil) return;
      claim.leaseUntil = leaseUntil;
      claims.changed(claim);
      return;
    }
    const out = exceptions.own.get(-ref);
    if (out !== undefined) exceptions.extend(out.member.group, seq, leaseUntil);
  }
}

function first(lane: Lane, seq: number, attempt: number, lost: number): Exception {
  return { lane, seq, key: null, attempt, lost, failures: null };
}
