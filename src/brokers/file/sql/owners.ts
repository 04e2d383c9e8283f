import { readFileSync, readlinkSync } from "node:fs";
import os from "node:os";
import type { Database, Statements } from "./database.ts";

const SQL = {
  add: "INSERT INTO owners(pid, started, boot, host, namespace, opened_at) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
  all: "SELECT id, pid, started, boot, host, namespace FROM owners WHERE id <> ?",
  remove: "DELETE FROM owners WHERE id = ?",
  there: "SELECT 1 FROM owners WHERE id = ?",
};

/** A process that has a store open. */
export interface OwnerRow {
  readonly id: number;
  readonly pid: number;
  /** When the process began, in ticks since the boot; empty where the system does not tell. */
  readonly started: string;
  readonly boot: string;
  readonly host: string;
  readonly namespace: string;
}

/** This process as others can recognise it. */
export function thisProcess(): Omit<OwnerRow, "id"> {
  return {
    pid: process.pid,
    started: startOf(process.pid) ?? "",
    boot: bootId(),
    host: os.hostname(),
    namespace: read(() => readlinkSync("/proc/self/ns/pid")) ?? "",
  };
}

/** One boot of this machine: monotonic times of another boot mean nothing. */
function bootId(): string {
  const known = read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  // Where the system has no name for a boot, the minute it began must do.
  return known ?? `${os.hostname()} ${Math.round((Date.now() - os.uptime() * 1000) / 60_000)}`;
}

/** The 22nd field of a process's stat, counted behind its name, which may hold anything. */
function startOf(pid: number): string | undefined {
  const stat = read(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

function read(from: () => string): string | undefined {
  try {
    return from();
  } catch {
    return undefined;
  }
}

/**
 * True when a process is certainly gone: it ran on this machine, where its number is free or was given to another, or the
 * machine has been started again since. False when nobody can tell; then its leases end by time.
 */
export function isDead(owner: Omit<OwnerRow, "id">, self: Omit<OwnerRow, "id">): boolean {
  if (owner.host !== self.host) return false;
  if (owner.boot !== self.boot) return true;
  if (owner.namespace !== self.namespace) return false;
  if (owner.started !== "") return startOf(owner.pid) !== owner.started;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return (error as { code?: string }).code === "ESRCH";
  }
}

/** The processes that have the store open. */
export class Owners {
  readonly self = thisProcess();
  readonly id: number;
  readonly #sql: Statements<typeof SQL>;
  #hasOthers = true;

  /** Enters this process. */
  constructor(db: Database, now: number) {
    this.#sql = db.prepareAll(SQL);
    const { pid, started, boot, host, namespace } = this.self;
    this.id = (this.#sql.add.get(pid, started, boot, host, namespace, now) as { id: number }).id;
  }

  /** Those that are certainly gone. */
  dead(): OwnerRow[] {
    const rows = this.#sql.all.all(this.id) as unknown as OwnerRow[];
    this.#hasOthers = rows.length > 0;
    return rows.filter((owner) => isDead(owner, this.self));
  }

  /** Another process had the store open when `dead` looked last. */
  get hasOthers(): boolean {
    return this.#hasOthers;
  }

  remove(id: number): void {
    this.#sql.remove.run(id);
  }
}
