import type { Failure, Settlement } from "../../core/delivery.ts";
import { hashOf } from "./names.ts";
import type { Later } from "../shared/timers.ts";
import type { GroupQueue } from "../memory/group-queue.ts";
import { NO_FAILURES, withFailure } from "../shared/failures.ts";
import type { Home } from "./channels.ts";
import type { Committed, Committing } from "./committer.ts";
import { KafkaEntry } from "./entry.ts";
import type { Fetched } from "./fetched.ts";
import { Once } from "./once.ts";
import type { Reader } from "./reader.ts";
import { boundsOf, encodeState, notesOf, type KeptState } from "./unit-state.ts";

/** What a unit needs of its group. */
export interface UnitHost {
  readonly kafkaGroup: (home: Home) => string;
  readonly now: () => number;
  readonly after: (delayMs: number, task: () => void) => Later;
  readonly placeOf: (reader: Reader) => number;
  readonly isErased: (channel: string, partition: number, offset: number) => boolean;
  /** Its place has changed. */
  readonly changed: (unit: Unit) => void;
  /** Something may be read again. */
  readonly hungry: (unit: Unit) => void;
  /** It reads again from an offset that it has passed. */
  readonly goBack: (unit: Unit, offset: number) => void;
  readonly serve: (queue: GroupQueue) => void;
  readonly lost: (unit: Unit, count: number | null) => void;
  /** Of what it handed out nothing is out any more. */
  readonly idle: (unit: Unit) => void;
  readonly topicId: (topic: string) => string;
  readonly readAhead: number;
  readonly dedupeWindowMs: number;
}

/** One message of a unit that is not acknowledged. */
interface Pending {
  attempt: number;
  failures: readonly Failure[];
  /** Epoch milliseconds, or 0. */
  dueAt: number;
  /** `kept`: to be read again. `queued`: in a queue here. `waiting`: for its time. `out`: handed out. */
  state: "kept" | "queued" | "waiting" | "out";
  /** What of it is in a queue, waits or is out. */
  entry: KafkaEntry<Unit> | undefined;
  later: Later | undefined;
}

function toBeRead(attempt: number, dueAt: number): Pending {
  return { attempt, dueAt, failures: NO_FAILURES, state: "kept", entry: undefined, later: undefined };
}

/** More that wait for their time are not read: they would have to be kept in memory. */
const MAX_WAITING = 10_000;
/** The same for what is read ahead or waits, by its size: in all it may be this, and one message more. */
const MAX_HELD_BYTES = 32 * 1024 * 1024;
const MOMENT_MS = 20;

/**
 * What one group has of one partition of one channel, in the one process that handles it: what is read, handed out, waits or is
 * acknowledged. The lowest that is not acknowledged is the committed offset; what is known of those above it is committed with it.
 */
export class Unit implements Reader, Committing {
  readonly home: Home;
  readonly topic: string;
  readonly partition: number;
  readonly channel: string | undefined;
  readonly kafkaGroup: string;
  position = 0;
  /** Nothing is known of what lies here or beyond. */
  #fresh = 0;
  readonly #pending = new Map<number, Pending>();
  readonly #host: UnitHost;
  #queues: readonly GroupQueue[] = [];
  #out = 0;
  #queued = 0;
  /** So much is read ahead that it reads on when half of it is handed out: each look costs what others wrote meanwhile. */
  #isFull = false;
  #waiting = 0;
  /** Bodies of what is queued or waits. */
  #heldBytes = 0;
  #from = 0;
  /** False once another process handles it, or nobody here. */
  #isOurs = true;
  isReading = false;
  /** What it has read of late. */
  once: Once;
  /** Others have gone on without this process. */
  isLost = false;
  /** Nothing that it says counts any more. */
  isEnded = false;
  /** The topic that its offsets are of. */
  #topicId = "";

  constructor(home: Home, partition: number, host: UnitHost) {
    this.home = home;
    this.topic = home.topic;
    this.partition = partition;
    this.channel = home.shared ? home.channel : undefined;
    this.#host = host;
    this.kafkaGroup = host.kafkaGroup(home);
    this.once = new Once(host.dedupeWindowMs);
  }

  /** How many are handed out. */
  get out(): number {
    return this.#out;
  }

  /** How many it has read that are not acknowledged. */
  get unacknowledged(): number {
    return this.#pending.size;
  }

  get isOurs(): boolean {
    return this.#isOurs;
  }

  get wants(): boolean {
    return (
      this.#isOurs &&
      this.#queues.length > 0 &&
      !this.#isFull &&
      this.#heldBytes < MAX_HELD_BYTES &&
      this.#waiting < MAX_WAITING
    );
  }

  /** Goes on where the group stood. */
  restore(low: number, kept: KeptState | undefined): void {
    this.#topicId = this.#host.topicId(this.topic);
    this.position = Math.max(low, this.#from);
    this.#fresh = Math.max(kept?.fresh ?? low, this.#from);
    for (const [offset, { attempt, dueAt }] of kept?.notes ?? [])
      if (offset >= this.#from) this.#pending.set(offset, toBeRead(attempt, dueAt));
  }

  /** What lies before this offset is not of the channel, or was purged. */
  purge(from: number): void {
    if (from <= this.#from) return;
    this.#from = from;
    this.#takeBack((offset) => offset < from);
    for (const [offset, { state }] of this.#pending)
      if (offset < from && state === "kept") this.#pending.delete(offset);
    if (this.position < from) this.position = from;
    this.#fresh = Math.max(this.#fresh, from);
    this.#host.changed(this);
  }

  /** The queues here that its messages may go to; without one nothing is read. What was in one that is gone is read again. */
  feed(queues: readonly GroupQueue[], gone?: GroupQueue): void {
    this.#queues = queues;
    if (gone !== undefined) this.#rewind((_offset, { entry }) => entry?.queue === gone);
    this.#host.hungry(this);
  }

  /** Whatever was read and not handed out, as far as it is chosen, will be read again. */
  #rewind(chosen: (offset: number, pending: Pending) => boolean): void {
    this.#fresh = Math.max(this.#fresh, this.#host.placeOf(this));
    this.#takeBack(chosen);
    for (const [offset, { state }] of this.#pending) {
      if (state !== "kept") continue;
      if (offset < this.position) this.#host.goBack(this, offset);
      return;
    }
  }

  take(record: Fetched): boolean {
    const { offset } = record;
    if (offset < this.#from || this.#host.isErased(this.home.channel, this.partition, offset)) {
      this.#skip(offset);
      return true;
    }
    if (this.once.isRepeat(record)) {
      this.#skip(offset);
      return true;
    }
    let pending = this.#pending.get(offset);
    if (offset < this.#fresh) {
      if (pending?.state !== "kept") return true;
    } else {
      pending = toBeRead(1, 0);
      this.#pending.set(offset, pending);
      this.#fresh = offset + 1;
    }
    const envelope = record.envelope(this.home.channel);
    const queue = this.#queueFor(envelope.key);
    if (queue === undefined) return true;
    const entry = new KafkaEntry<Unit>(queue, envelope, { owner: this, place: record }, pending);
    pending.entry = entry;
    const dueAt = Math.max(pending.dueAt, envelope.deliverAt ?? 0);
    if (dueAt > this.#host.now()) {
      pending.dueAt = dueAt;
      this.#wait(pending, dueAt - this.#host.now(), () => queue.push(entry, false), queue);
    } else {
      pending.state = "queued";
      this.#countQueued(1);
      this.#heldBytes += envelope.body.byteLength;
      queue.push(entry, false);
    }
    return true;
  }

  taken(): void {
    for (const queue of this.#queues) this.#host.serve(queue);
  }

  lost(count: number | null): void {
    for (const [offset, pending] of this.#pending)
      if (pending.state === "kept" && offset < this.position) this.#pending.delete(offset);
    let known = count;
    if (count === null) {
      this.#takeBack(() => true);
      known = this.#pending.size === 0 ? null : this.#pending.size;
      this.#pending.clear();
      this.#queued = this.#waiting = this.#heldBytes = 0;
      this.#isFull = false;
      this.#out = 0;
      this.#fresh = this.position;
      this.#topicId = this.#host.topicId(this.topic);
    }
    this.#host.lost(this, known);
    this.#host.changed(this);
  }

  /** It is handed out. */
  handed(entry: KafkaEntry<Unit>): void {
    const pending = this.#pending.get(entry.place.offset);
    if (pending?.entry !== entry) return;
    pending.state = "out";
    pending.dueAt = 0;
    this.#countQueued(-1);
    this.#heldBytes -= entry.envelope.body.byteLength;
    this.#out++;
    this.#host.changed(this);
    this.#host.hungry(this);
  }

  /** Ends a hand-out. `raises`: a release counts as an attempt. */
  settle(entry: KafkaEntry<Unit>, settlement: Settlement): void {
    const queue = entry.queue as GroupQueue;
    const { offset } = entry.place;
    const pending = this.#pending.get(offset);
    if (pending?.state !== "out" || pending.entry !== entry) {
      queue.unlock(entry);
      return;
    }
    this.#out--;
    if (settlement.kind === "ack" || offset < this.#from) {
      this.#pending.delete(offset);
      queue.unlock(entry);
    } else if (settlement.kind !== "extend") this.#giveBack(entry, pending, settlement);
    this.#host.changed(this);
    this.#host.hungry(this);
    if (this.#out === 0) this.#host.idle(this);
  }

  /** Another process is to handle it: nothing more is handed out, and what is out may still be settled. */
  giveUp(): void {
    this.#isOurs = false;
    this.#rewind(() => true);
  }

  /** It is ours again, before it was given away. */
  keep(): void {
    this.#isOurs = true;
    this.#host.hungry(this);
  }

  /** From now on it says nothing. */
  end(): void {
    this.isEnded = true;
    this.#isOurs = false;
    this.#takeBack(() => true);
  }

  state(): Committed | undefined {
    if (this.isEnded || !this.isReading) return undefined;
    const end = Math.max(this.#host.placeOf(this), this.#fresh);
    const { low, fresh } = boundsOf(this.#pending, end);
    const state = { topicId: this.#topicId, fresh, out: this.#out };
    const metadata = encodeState(low, state, notesOf(this.#pending));
    return { offset: low, metadata };
  }

  #giveBack(
    entry: KafkaEntry<Unit>,
    pending: Pending,
    settlement: Settlement & { readonly delayMs: number },
  ): void {
    const queue = entry.queue as GroupQueue;
    const isNack = settlement.kind === "nack";
    if (isNack) pending.attempt++;
    pending.failures = withFailure(pending.failures, isNack ? settlement.failure : undefined);
    const { delayMs } = settlement;
    pending.dueAt = delayMs > 0 ? this.#host.now() + delayMs : 0;
    if (!this.#isOurs || queue.gone) {
      pending.state = "kept";
      pending.entry = undefined;
      queue.unlock(entry);
      this.#host.goBack(this, Math.min(this.position, entry.place.offset));
      return;
    }
    const returning = new KafkaEntry<Unit>(
      queue,
      entry.envelope,
      { owner: this, place: entry.place },
      pending,
    );
    pending.entry = returning;
    if (queue.strict || delayMs <= 0) queue.handOn(entry, returning);
    else queue.unlock(entry);
    if (delayMs > 0) this.#wait(pending, delayMs, () => queue.unshift(returning), queue);
    else {
      pending.state = "queued";
      this.#countQueued(1);
      this.#heldBytes += entry.envelope.body.byteLength;
      queue.unshift(returning);
    }
  }

  #wait(pending: Pending, delayMs: number, ready: () => void, queue: GroupQueue): void {
    pending.state = "waiting";
    this.#waiting++;
    this.#heldBytes += pending.entry?.envelope.body.byteLength ?? 0;
    const due = (): void => {
      if (pending.state !== "waiting" || queue.gone) return;
      // The clock of the timer and that of the due time may differ by a moment, and nothing may come early.
      const leftMs = pending.dueAt - this.#host.now();
      if (leftMs > 0 && leftMs < MOMENT_MS) {
        pending.later = this.#host.after(leftMs, due);
        return;
      }
      pending.later = undefined;
      pending.state = "queued";
      this.#waiting--;
      this.#countQueued(1);
      ready();
      this.#host.serve(queue);
      this.#host.hungry(this);
    };
    pending.later = this.#host.after(delayMs, due);
  }

  /** Takes what is in queues, or waits, out of them again. */
  #takeBack(chosen: (offset: number, pending: Pending) => boolean): void {
    const queues = new Set<GroupQueue>();
    for (const [offset, pending] of this.#pending) {
      const { entry, state } = pending;
      if (entry === undefined || state === "out" || entry.holder !== null || !chosen(offset, pending))
        continue;
      const queue = entry.queue as GroupQueue;
      this.#heldBytes -= entry.envelope.body.byteLength;
      if (state === "waiting") {
        this.#waiting--;
        pending.later?.cancel();
        pending.later = undefined;
        queue.unlock(entry);
      } else {
        this.#countQueued(-1);
        queues.add(queue);
      }
      pending.state = "kept";
      pending.entry = undefined;
    }
    for (const queue of queues) {
      if (queue.gone) continue;
      const taken = queue.takeAll(this.home.channel) as KafkaEntry<Unit>[];
      const isStill = (entry: KafkaEntry<Unit>) =>
        entry.owner !== this || this.#pending.get(entry.place.offset)?.entry === entry;
      for (const entry of taken) if (!isStill(entry)) queue.unlock(entry);
      for (const entry of taken) if (isStill(entry)) queue.push(entry, false);
    }
  }

  #countQueued(change: 1 | -1): void {
    const { readAhead } = this.#host;
    this.#queued += change;
    if (this.#queued >= readAhead) this.#isFull = true;
    else if (this.#queued <= readAhead / 2) this.#isFull = false;
  }

  #skip(offset: number): void {
    this.#pending.delete(offset);
    if (offset >= this.#fresh) this.#fresh = offset + 1;
    this.#host.changed(this);
  }

  /** Messages of one key go to one queue, so that their order is kept; others to the shortest. */
  #queueFor(key: string | undefined): GroupQueue | undefined {
    const queues = this.#queues;
    if (queues.length <= 1) return queues[0];
    if (key !== undefined) return queues[hashOf(key) % queues.length];
    return queues.reduce((one, other) => (other.waiting < one.waiting ? other : one));
  }
}
