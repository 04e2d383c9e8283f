import type { ErrorShape, PublishAnswer, Result, StoredRun } from "../protocol.ts";
import { Deliveries } from "./deliveries.ts";
import type { Member } from "./model.ts";

/** What one turn has come to so far. */
export class Turn {
  readonly out = new Deliveries();
  readonly results: Result[] = [];
  readonly publishes: (PublishAnswer | StoredRun)[] = [];
  readonly nothing: number[] = [];
  /** Members that were served, and what they wanted. */
  readonly served = new Map<Member, number>();
  /** Members that do not wait. */
  readonly impatient = new Set<Member>();
  error: ErrorShape | undefined;
}
