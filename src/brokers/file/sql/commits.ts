import { HeraldError, showValue } from "../../../core/errors.ts";
import type { StreamHead } from "../../../core/store.ts";
import { KIND, type CommitCommand } from "../protocol.ts";
import type { Append } from "./append.ts";
import type { KnownIds } from "./inbox.ts";
import type { Member } from "./model.ts";
import type { Settle } from "./settle.ts";
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

  /** Throws `CONFLICT` when the delivery is another's or what was read has changed, and what the channels of its messages throw. */
  commit(command: CommitCommand): void {
    const { append, ids, settle, settled, time } = this.#parts;
    const { member: id, ref, seq, messages, scope } = command;
    const member = this.#parts.members.get(id);
    if (member === undefined || !settle.holds(member, ref, seq)) throw takenAway(command);
    this.#check(command);
    if (messages !== null) {
      append.prepare(messages);
      const { errors } = { errors: null, ...append.append(messages, false) };
      // Never after that look. It would be too late to refuse this one alone: nothing of the whole turn takes place.
      if (errors !== null) throw new Error(`Messages of a commit were refused: ${JSON.stringify(errors)}`);
    }
    this.#write(command);
    ids.commit(scope, command.id, Math.floor(time.wall()));
    settle.settle(member, { member: id, numbers: Float64Array.of(KIND.ack, ref, seq, 0), failures: null });
    settled(member);
  }

  #check({ writes }: CommitCommand): void {
    const { values, streams } = this.#parts;
    for (const { space, key, token } of writes.reads) {
      const kept = values.run({ op: "valueGet", space, key }) as { readonly token: string } | undefined;
      if ((kept?.token ?? null) !== token)
        throw changed(`The value ${showValue(key)} of ${showValue(space)}`);
    }
    for (const { stream, version } of writes.appends) {
      const head = streams.run({ op: "streamHead", stream }) as StreamHead;
      if (head.version !== version) throw changed(`The stream ${showValue(stream)}`);
    }
  }

  #write({ writes }: CommitCommand): void {
    const { values, streams } = this.#parts;
    for (const { space, key, value, token } of writes.values)
      if (value === null) values.run({ op: "valueDelete", space, key, ifToken: undefined });
      else values.run({ op: "valuePut", space, key, value, token, ifToken: undefined });
    for (const { stream, version, events } of writes.appends) {
      const bodies = events.map(({ body }) => body);
      const hashes = events.map(({ hash }) => hash);
      streams.run({ op: "streamAppend", stream, version, bodies, hashes });
    }
  }
}

function takenAway({ id }: CommitCommand): HeraldError {
  const message = `${id} is not this subscription's any more: its lease was over before it was committed, and nothing was written.`;
  return new HeraldError("CONFLICT", message, { details: { id } });
}

function changed(what: string): HeraldError {
  const message = `${what} was changed by somebody else after it was read: nothing was written, and the message is tried again.`;
  return new HeraldError("CONFLICT", message);
}
