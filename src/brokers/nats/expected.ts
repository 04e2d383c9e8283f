import type { ConsumerInfo } from "./api.ts";

/** What a consumer must still have, at the least: what has been seen waiting for it, and was published here since, less what was delivered. */
interface Base {
  readonly created: string;
  readonly at: number;
  readonly delivered: number;
  readonly pending: number;
  readonly unacknowledged: number;
  readonly floor: number;
}

/** What is delivered more than once makes the count less exact the longer it goes on. */
const MAX_BUSY_LOOKS = 10;

/** Where things stood as the server was asked. */
export interface Look {
  readonly epoch: number;
  /** How many publishes were counted by then: the server's answer covers them. */
  readonly published: number;
  /** How many publishes, of all that ever began, had ended by then. */
  readonly ended: number;
}

/**
 * Finds messages that went without being delivered. It never takes for lost what somebody else has read or published: what it
 * counts is a lower bound, and exact where one process alone publishes.
 */
export class Expected {
  #base: Base | undefined;
  #published = 0;
  #begun = 0;
  #ended = 0;
  #looks = 0;
  #epoch = 0;
  #abandoned = 0;

  /** Everything at or below this place in the stream was acknowledged. */
  get floor(): number | undefined {
    return this.#base?.floor;
  }

  /** When the server was last asked, wall time; undefined: never. */
  get at(): number | undefined {
    return this.#base?.at;
  }

  /** Which stretch between two looks this is: a publish that begins and ends within one is counted. */
  get epoch(): number {
    return this.#epoch;
  }

  /** How many were counted in this stretch. */
  get published(): number {
    return this.#published;
  }

  /** A message is on its way. Which stretch that began in. */
  sending(): number {
    this.#begun++;
    return this.#epoch;
  }

  /** It was stored, or not; `epoch`: as {@link sending} said. */
  sent(epoch: number, isStored: boolean): void {
    this.#ended++;
    if (isStored && epoch === this.#epoch) this.#published++;
  }

  /** The server is about to be asked. */
  look(): Look {
    this.#looks++;
    return { epoch: this.#epoch, published: this.#published, ended: this.#ended };
  }

  /**
   * Is what the server said after that look to be gone by from now on? Only where it covers every message until now: one that
   * was on its way may be in it or not. Where messages are always on their way the most that is known is taken after all.
   */
  isTaken({ epoch, ended }: Look): boolean {
    if (epoch !== this.#epoch) return false;
    // None was on its way then, and none has begun since.
    return ended === this.#begun || this.#looks >= MAX_BUSY_LOOKS;
  }

  /** How many must have gone, by what the server says now. `published`: {@link published} from before it was asked. */
  missing(info: ConsumerInfo, published: number): number {
    const base = this.#base;
    if (base === undefined || base.created !== info.created) return 0;
    const delivered = info.delivered.consumer_seq - base.delivered;
    return Math.max(0, base.pending + published - delivered - info.num_pending);
  }

  /** The same for a consumer that was made again and reads from {@link floor}: acknowledged ones above it wait for it again. */
  missingAnew(info: ConsumerInfo, published: number): number {
    const base = this.#base;
    if (base === undefined) return 0;
    return Math.max(
      0,
      base.pending + base.unacknowledged + published - info.num_pending - info.num_ack_pending,
    );
  }

  /** The stream is another one: everything is gone that was in the one before. */
  abandon(): void {
    this.#abandoned += (this.#base?.pending ?? 0) + (this.#base?.unacknowledged ?? 0) + this.#published;
    this.forgive();
  }

  /** How many {@link abandon} has found, once. */
  takeAbandoned(): number {
    const count = this.#abandoned;
    this.#abandoned = 0;
    return count;
  }

  /** What the server says now is what is expected from now on. */
  seen(info: ConsumerInfo, now: number): void {
    this.#epoch++;
    this.#looks = 0;
    this.#published = 0;
    this.#base = {
      created: info.created,
      at: now,
      delivered: info.delivered.consumer_seq,
      pending: info.num_pending,
      unacknowledged: info.num_ack_pending,
      floor: info.ack_floor.stream_seq,
    };
  }

  /** Somebody has taken messages away on purpose: nothing is expected until the next look. */
  forgive(): void {
    this.#epoch++;
    this.#published = 0;
    if (this.#base !== undefined) this.#base = { ...this.#base, pending: 0, unacknowledged: 0 };
  }
}
