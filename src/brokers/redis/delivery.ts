import type { Delivery, Failure } from "../../core/delivery.ts";
import type { Envelope } from "../../core/envelope.ts";
import { NO_FAILURES, withFailure } from "../shared/failures.ts";
import { KEYED_LANE, positionOf, type Lane } from "./keys.ts";

/** What Redis keeps of an entry beside its place. */
export interface Note {
  /** Hand-outs that were no attempts. */
  readonly r?: number;
  /** Failures, as JSON. */
  readonly f?: string;
}

/** One group on one channel, as its deliveries know it. */
export interface Home {
  readonly channel: string;
  readonly group: string;
  /** The base key of the channel. */
  readonly base: string;
  /** Deliveries that are out here. */
  unsettled: number;
  /** Monotonic time of the next look at what is due; Infinity when none is known. */
  dueAt: number;
  /** The stream of a lane. */
  stream(lane: Lane): string;
  /** Counts what was acknowledged here. */
  acknowledged(count: number): void;
  /** Looks after what no command of ours tells of; resolves to ms until the next is due, or -1. */
  sweep(): Promise<number>;
}

/** Who holds a delivery. */
export interface Holder {
  /** A delivery of it is settled. */
  settled(count: number): void;
}

/** One entry of a stream, handed out to this process. */
export class RedisDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly failures: readonly Failure[];
  readonly leaseMs: number;
  readonly group: Home;
  readonly lane: Lane;
  readonly id: string;
  /** Which hand-out of the entry this is: Redis's own count, which only grows. With the consumer's name it fences settlements. */
  readonly count: number;
  /** Redis knows more of the entry than its place: an acknowledgement must forget that too. */
  readonly hasNote: boolean;
  /** Monotonic: until then the entry is surely ours, by when Redis was last told so. */
  leaseUntil = 0;
  /** Monotonic: until then the holder wants to keep it. */
  wantedUntil = 0;
  /** Null once it is settled. */
  holder: Holder | null = null;

  constructor(
    group: Home,
    entry: { readonly lane: Lane; readonly id: string; readonly count: number; readonly envelope: Envelope },
    leaseMs: number,
    note?: Note,
  ) {
    this.group = group;
    this.envelope = entry.envelope;
    this.lane = entry.lane;
    this.id = entry.id;
    this.count = entry.count;
    this.leaseMs = leaseMs;
    this.hasNote = note !== undefined;
    this.attempt = entry.count - (note?.r ?? 0);
    this.failures = note?.f === undefined ? NO_FAILURES : (JSON.parse(note.f) as Failure[]);
  }

  get position(): string {
    return positionOf(this.lane, this.id);
  }

  get receipt(): unknown {
    return this;
  }

  /** The partition key whose order this entry holds, or the empty text. */
  get lockedKey(): string {
    return this.lane === KEYED_LANE ? (this.envelope.key ?? "") : "";
  }

  /** The failures with one more, as Redis keeps them. */
  failuresWith(failure: Failure | undefined): string {
    return failure === undefined ? "" : JSON.stringify(withFailure(this.failures, failure));
  }
}
