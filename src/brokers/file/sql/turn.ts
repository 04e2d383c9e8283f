import type { Command, ErrorShape, PublishAnswer, Request, Result, StoredRun } from "../protocol.ts";
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

/** Commands that write nothing. */
const LOOKS: ReadonlySet<string> = new Set<Command["op"]>([
  "inboxClaim",
  "inboxAbandon",
  "valueGet",
  "streamRead",
  "streamHead",
]);

/**
 * A publish waits for the disk. A claim need not outlast a loss of power: whoever holds it does not either. A settlement
 * that a loss of power undoes is a delivery that comes again: it waits for the next publish, or for keeping house.
 */
export function mustLast({ commands, publishes }: Request): boolean {
  return publishes.length > 0 || commands.some(({ command: { op } }) => !LOOKS.has(op));
}
