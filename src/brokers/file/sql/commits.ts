import { HeraldError, isHeraldError, showValue } from "../../../core/errors.ts";
import type { StoreWrites, StreamHead } from "../../../core/store.ts";
import { COMMIT_STRIDE, KIND, type CommitCommand, type ErrorShape } from "../protocol.ts";
import type { Append } from "./append.ts";
import type { KnownIds } from "./inbox.ts";
import { Messages } from "./messages.ts";
import type { Member } from "./model.ts";
import type { Settle } from "./settle.ts";
import { shapeOf } from "./shape.ts";
import type { Streams } from "./streams.ts";
import type { StoreTime } from "./time.ts";
import type { KeptValues } from "./values.ts";

/** What commits need of the store. */
export interface CommitParts {
  readonly append: Append;
  readonly ids: KnownIds;
  readonly members: Map<number, Member>;
  readonly settle: Settle;
  readonly settled: (member: Member) => void;
  readonly streams: Streams;
  readonly time: StoreTime;
  readonly values: KeptValues;
}

/**
 * Handled deliveries with all that belongs to them. Everything that may be refused is looked at before anything is written:
 * others share the transaction, and it is not rolled back for one of them.
 */
export class Commits {
  readonly #parts: CommitParts;

  constructor(parts: CommitParts) {
    this.#parts = parts;
  }

  /**
   * Commits each; what came of those that were not. That is `CONFLICT` when the delivery is another's or what was read has changed,
   * and what the channels of its messages throw.
   */
  commit(command: CommitCommand): (ErrorShape | undefined)[] {
    const { ids, settle, settled, time } = this.#parts;
    const member = this.#parts.members.get(command.member);
    const errors: (ErrorShape | undefined)[] = [];
    const acks: number[] = [];
    const done: string[] = [];
    for (const one of partsOf(command)) {
      try {
        if (member === undefined || !settle.holds(member, one.ref, one.seq)) throw takenAway(one.id);
        this.#make(one);
        acks.push(KIND.ack, one.ref, one.seq, 0);
        done.push(one.id);
      } catch (error) {
        if (!isHeraldError(error)) throw error;
        errors[one.at] = shapeOf(error);
      }
    }
    if (member === undefined || done.length === 0) return errors;
    ids.commit(command.scope, done, Math.floor(time.wall()));
    settle.settle(member, { member: member.id, numbers: Float64Array.from(acks), failures: null });
    settled(member);
    return errors;
  }

  /** What belongs to one delivery, but for its acknowledgement. Throws before anything of it is written. */
  #make({ messages, from, to, writes }: Part): void {
    const { append } = this.#parts;
    if (writes !== undefined) this.#check(writes);
    if (messages !== null) {
      append.prepare(messages, from, to);
      const { errors } = { errors: null, ...append.appendSome(messages, { from, to, isEchoed: false }) };
      // Never after that look. It would be too late to refuse this one alone: nothing of the whole turn takes place.
      if (errors !== null) throw new Error(`Messages of a commit were refused: ${JSON.stringify(errors)}`);
    }
    if (writes !== undefined) this.#write(writes);
  }

  #check({ reads, appends }: StoreWrites): void {
    const { values, streams } = this.#parts;
    for (const { space, key, token } of reads) {
      const kept = values.run({ op: "valueGet", space, key }) as { readonly token: string } | undefined;
      if ((kept?.token ?? null) !== token)
        throw changed(`The value ${showValue(key)} of ${showValue(space)}`);
    }
    for (const { stream, version } of appends) {
      const head = streams.run({ op: "streamHead", stream }) as StreamHead;
      if (head.version !== version) throw changed(`The stream ${showValue(stream)}`);
    }
  }

  #write({ values: kept, appends }: StoreWrites): void {
    const { values, streams } = this.#parts;
    for (const { space, key, value, token } of kept)
      if (value === null) values.run({ op: "valueDelete", space, key, ifToken: undefined });
      else values.run({ op: "valuePut", space, key, value, token, ifToken: undefined });
    for (const { stream, version, events } of appends) {
      const bodies = events.map(({ body }) => body);
      const hashes = events.map(({ hash }) => hash);
      streams.run({ op: "streamAppend", stream, version, bodies, hashes });
    }
  }
}

/** One delivery of a command. */
interface Part {
  readonly at: number;
  readonly id: string;
  readonly ref: number;
  readonly seq: number;
  /** Its messages are those from one to before another. */
  readonly messages: Messages | null;
  readonly from: number;
  readonly to: number;
  readonly writes: StoreWrites | undefined;
}

function* partsOf({ ids, numbers, messages: block, writes }: CommitCommand): Iterable<Part> {
  const messages = block === null ? null : new Messages(block);
  let from = 0;
  for (const [at, id] of ids.entries()) {
    const [ref, seq, count] = numbers.subarray(at * COMMIT_STRIDE) as unknown as [number, number, number];
    yield { at, id, ref, seq, messages, from, to: from + count, writes: writes?.[at] };
    from += count;
  }
}

function takenAway(id: string): HeraldError {
  const message = `${id} is not this subscription's any more: its lease was over before it was committed, and nothing was written.`;
  return new HeraldError("CONFLICT", message, { details: { id } });
}

function changed(what: string): HeraldError {
  const message = `${what} was changed by somebody else after it was read: nothing was written, and the message is tried again.`;
  return new HeraldError("CONFLICT", message);
}
