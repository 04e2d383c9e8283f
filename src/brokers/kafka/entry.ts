import type { Failure } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { createTally, Entry } from "../memory/entry.ts";
import type { GroupQueue } from "../memory/group-queue.ts";
import { NO_FAILURES } from "../shared/failures.ts";
import type { Fetched } from "./fetched.ts";
import { positionOf } from "./position.ts";

const NOBODY_COUNTS = createTally();

/** Where a record lies. */
export type RecordPlace = Pick<Fetched, "partition" | "offset" | "storedAt">;

/** A record in a queue of this process, and the delivery once it is handed out. */
export class KafkaEntry<Owner> extends Entry {
  readonly owner: Owner;
  readonly place: RecordPlace;

  constructor(
    queue: GroupQueue,
    envelope: Envelope,
    at: { readonly owner: Owner; readonly place: RecordPlace },
    history: { readonly attempt: number; readonly failures: readonly Failure[] } = {
      attempt: 1,
      failures: NO_FAILURES,
    },
  ) {
    super(queue, envelope, { sequence: at.place.offset, tally: NOBODY_COUNTS }, history);
    this.owner = at.owner;
    this.place = at.place;
  }

  override get position(): string {
    const { partition, offset, storedAt } = this.place;
    return positionOf(partition, offset, storedAt);
  }

  override get isObsolete(): boolean {
    return false;
  }
}
