import type { KeyValueStore } from "../../core/store.ts";
import { Lease, type LeaseOptions } from "../lease.ts";
import type { SagaRef } from "./journal.ts";

/** Where a saga that has not ended is entered: `held` by a process that renews it, `free` for whoever comes, `waiting` for a person. */
export type EntryStatus = "held" | "free" | "waiting";

/** The space of a saga's entries; its keys are the ids of the sagas that have not ended. */
export function entriesOf(name: string): string {
  return `sagas.${name}`;
}

/** What an entry says. */
export function entryStatus(value: string): EntryStatus {
  return value === "free" || value === "waiting" ? value : "held";
}

/** Takes a saga whose entry has this token, null: none. Undefined: it has another. */
export function takeSaga(
  values: KeyValueStore,
  { name, id }: SagaRef,
  options: LeaseOptions,
): Promise<Lease | undefined> {
  return Lease.take(values, { space: entriesOf(name), key: id, value: "held" }, options);
}
