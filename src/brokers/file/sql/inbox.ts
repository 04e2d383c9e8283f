import type { InboxState } from "../../../core/store.ts";
import type { Database, Statements } from "./database.ts";

/** Rows of one statement: to run one costs as much as to store some rows. */
const MANY = 16;
const PUT = "INSERT INTO inbox(scope, id, until) VALUES";
const UPSERT = "ON CONFLICT (scope, id) DO UPDATE SET until = excluded.until";
const SQL = {
  done: "SELECT until FROM inbox WHERE scope = ? AND id = ?",
  put: `${PUT} (?, ?, ?) ${UPSERT}`,
  putMany: `${PUT} ${Array.from({ length: MANY }, () => "(?, ?, ?)").join(", ")} ${UPSERT}`,
  count: "SELECT count(*) AS n FROM inbox",
  prune: "DELETE FROM inbox WHERE (scope, id) IN (SELECT scope, id FROM inbox WHERE until < ? LIMIT ?)",
  pruneIds: "DELETE FROM ids WHERE id IN (SELECT id FROM ids WHERE at < ? LIMIT ?)",
  oldest: "SELECT min(until) AS at FROM inbox",
  oldestId: "SELECT min(at) AS at FROM ids",
};

const SLICE = 1000;

/** Ids that took effect, and ids that were published, as long as they are to be known. */
export class KnownIds {
  readonly #sql: Statements<typeof SQL>;
  readonly #dedupeWindowMs: number;
  /** Runs of this process that are not over: a process that dies leaves none behind. */
  readonly #busy = new Map<string, number>();
  #count: number | undefined;

  constructor(db: Database, dedupeWindowMs: number) {
    this.#sql = db.prepareAll(SQL);
    this.#dedupeWindowMs = dedupeWindowMs;
  }

  /** What each of them is; `full`: `maxIds` are known and none of them may be forgotten. */
  claim(
    scope: string,
    ids: readonly string[],
    limits: { readonly horizonMs: number; readonly maxIds: number },
    now: number,
  ): (InboxState | "full")[] {
    return ids.map((id) => {
      const name = `${scope} ${id}`;
      if (this.#busy.has(name)) return "busy";
      const row = this.#sql.done.get(scope, id) as { until: number } | undefined;
      if (row !== undefined && row.until >= now) return "done";
      this.#count ??= (this.#sql.count.get() as { n: number }).n;
      if (this.#count + this.#busy.size >= limits.maxIds) return "full";
      this.#busy.set(name, limits.horizonMs);
      return "new";
    });
  }

  commit(scope: string, ids: readonly string[], now: number): void {
    for (let at = 0; at < ids.length;) {
      const some = ids.length - at < MANY ? ids.slice(at, at + 1) : ids.slice(at, at + MANY);
      const put = some.length === 1 ? this.#sql.put : this.#sql.putMany;
      put.run(...some.flatMap((id) => [scope, id, now + this.#end(scope, id)]));
      at += some.length;
    }
    if (this.#count !== undefined) this.#count += ids.length;
  }

  /** It runs no more; how long it is to be known. */
  #end(scope: string, id: string): number {
    const name = `${scope} ${id}`;
    const horizonMs = this.#busy.get(name) ?? 3_600_000;
    this.#busy.delete(name);
    return horizonMs;
  }

  abandon(scope: string, id: string): void {
    this.#busy.delete(`${scope} ${id}`);
  }

  /** True when something may be forgotten. A look, without the write lock. */
  hasWork(now: number): boolean {
    const until = (this.#sql.oldest.get() as { at: number | null }).at ?? Infinity;
    const at = (this.#sql.oldestId.get() as { at: number | null }).at ?? Infinity;
    return until < now || at < now - this.#dedupeWindowMs;
  }

  /** Forgets one slice. */
  prune(now: number): void {
    const { changes } = this.#sql.prune.run(now, SLICE);
    if (this.#count !== undefined) this.#count -= Number(changes);
    this.#sql.pruneIds.run(now - this.#dedupeWindowMs, SLICE);
  }
}
