import type { Claims } from "./claims.ts";
import type { Database, Statements } from "./database.ts";
import type { Exceptions } from "./exceptions.ts";
import type { KnownIds } from "./inbox.ts";
import type { Join } from "./join.ts";
import type { LookAfter } from "./look-after.ts";
import type { OwnerRow, Owners } from "./owners.ts";
import type { Retention } from "./retention.ts";
import type { Settle } from "./settle.ts";
import type { StoreTime } from "./time.ts";
import type { Topology } from "./topology.ts";

const SQL = {
  boot: "SELECT boot, boot_offset FROM store",
  setBoot: "UPDATE store SET boot = ?, boot_offset = ?",
  shift: "UPDATE exceptions SET ready_at = ready_at + ? WHERE state = 0",
  endClaims: "UPDATE claims SET lease_until = -1",
  endOuts: "UPDATE exceptions SET lease_until = -1 WHERE state = 1",
};

/** How often leases are looked at while there is traffic. */
const LOOK_MS = 20;

/** What keeping house needs of the store. */
export interface HousekeepingParts {
  readonly db: Database;
  readonly time: StoreTime;
  readonly owners: Owners;
  readonly claims: Claims;
  readonly exceptions: Exceptions;
  readonly settle: Settle;
  readonly join: Join;
  readonly ids: KnownIds;
  readonly retention: Retention;
  readonly lookAfter: LookAfter;
  readonly topology: Topology;
}

/** Leases that are over, processes that are gone, messages and ids that may go. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;
  readonly #sql: Statements<typeof SQL>;
  #dead: readonly OwnerRow[] = [];
  #isDeleting = false;
  #isForgetting = false;
  #isExpiring = false;
  #nextLook = -Infinity;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
    this.#sql = parts.db.prepareAll(SQL);
  }

  /** The store is opened. Monotonic times of another boot are made those of this one, and its leases are over. */
  begin(): void {
    const { time, owners } = this.#parts;
    const { boot, boot_offset } = this.#sql.boot.get() as { boot: string; boot_offset: number };
    const offset = time.wall() - time.monotonic();
    if (boot !== owners.self.boot) {
      if (boot !== "") this.#sql.shift.run(boot_offset - offset);
      this.#sql.endClaims.run();
      this.#sql.endOuts.run();
    }
    this.#sql.setBoot.run(owners.self.boot, offset);
    this.#dead = owners.dead();
    this.slice();
  }

  /** Looks, without the write lock, whether there is anything to do. */
  look(): boolean {
    const { claims, exceptions, ids, owners, retention, time } = this.#parts;
    const now = time.monotonic();
    this.#dead = owners.dead();
    this.#isDeleting = retention.hasWork;
    this.#isForgetting = ids.hasWork(time.wall());
    if (!this.#isDeleting) retention.shrink();
    return (
      this.#dead.length > 0 ||
      this.#isDeleting ||
      this.#isForgetting ||
      Math.min(claims.next(), exceptions.next()) < now
    );
  }

  /** True when the last slice has left something to be done at once. */
  get hasMore(): boolean {
    return this.#isDeleting || this.#isExpiring;
  }

  /** Does a part of it, within a transaction. */
  slice(): void {
    const { ids, lookAfter, retention, time, topology } = this.#parts;
    for (const owner of this.#dead) this.#bury(owner);
    // The dead wait for no replies; whoever listens still keeps its channel.
    if (this.#dead.length > 0) lookAfter.removeReplies([...topology.channels.keys()]);
    this.#dead = [];
    this.#expire();
    if (this.#isDeleting) this.#isDeleting = retention.slice();
    if (this.#isForgetting) ids.prune(time.wall());
    this.#isForgetting = false;
  }

  /** This process leaves. */
  end(): void {
    const { join, owners } = this.#parts;
    join.endAllOf(owners.id);
    owners.remove(owners.id);
  }

  #bury({ id }: OwnerRow): void {
    const { claims, exceptions, settle, join, owners } = this.#parts;
    for (const row of claims.of(id)) settle.expireClaim(row);
    for (let rows = exceptions.of(id); rows.length > 0; rows = exceptions.of(id))
      for (const row of rows) settle.expireOut(row, false);
    join.endAllOf(id);
    owners.remove(id);
  }

  #expire(): void {
    const { claims, exceptions, settle, owners, time } = this.#parts;
    const now = time.monotonic();
    if (now < this.#nextLook) return;
    const over = claims.over(now);
    for (const row of over) settle.expireClaim(row);
    const outs = exceptions.over(now);
    for (const row of outs) settle.expireOut(row, row.owner === owners.id);
    this.#isExpiring = over.length + outs.length > 0;
    this.#nextLook = this.#isExpiring ? now : now + LOOK_MS;
  }
}
