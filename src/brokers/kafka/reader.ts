import type { Fetched } from "./fetched.ts";

/** Somebody who reads a partition from a place of his own. */
export interface Reader {
  readonly topic: string;
  readonly partition: number;
  /** Of a topic that several channels share: the one that is read. */
  readonly channel: string | undefined;
  /** The next offset to be read. */
  position: number;
  /** Is there room for more? */
  readonly wants: boolean;
  /** Takes a record, or says that there is no room: then it comes again. */
  take(record: Fetched): boolean;
  /** Everything that came in one answer has been taken. */
  taken(): void;
  /** So many records are gone that it had not read; null: nobody knows how many. */
  lost(count: number | null): void;
}

/** What is read of one partition, once for all that read it. */
export class Part {
  readonly topic: string;
  readonly partition: number;
  /** The topic as it was when it was read; another id is another topic. */
  topicId = "";
  /** Where the next request for everybody reads on. */
  tail = 0;
  /** Those that read along; what they have is read up to the tail. */
  readonly along = new Set<Reader>();
  /** Of those, the readers of single channels. */
  readonly byChannel = new Map<string, Set<Reader>>();
  /** Those that are elsewhere: behind, or new. */
  readonly apart = new Set<Reader>();

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  get isEmpty(): boolean {
    return this.along.size === 0 && this.apart.size === 0;
  }

  /** Lets a reader read along. */
  attach(reader: Reader): void {
    this.apart.delete(reader);
    this.along.add(reader);
    if (reader.channel === undefined) return;
    const same = this.byChannel.get(reader.channel);
    if (same === undefined) this.byChannel.set(reader.channel, new Set([reader]));
    else same.add(reader);
  }

  /** A reader has no room: it stays where it is. */
  detach(reader: Reader): void {
    this.#leave(reader);
    this.apart.add(reader);
  }

  remove(reader: Reader): void {
    this.apart.delete(reader);
    this.#leave(reader);
  }

  /** Those who read along and want this record. */
  *readersOf(record: Fetched): Iterable<Reader> {
    if (this.byChannel.size === 0) yield* this.along;
    else {
      const same = this.byChannel.get(record.channel);
      if (same !== undefined) yield* same;
      if (this.byChannel.size < this.along.size)
        for (const reader of this.along) if (reader.channel === undefined) yield reader;
    }
  }

  #leave(reader: Reader): void {
    if (!this.along.delete(reader)) return;
    if (reader.channel === undefined) {
      reader.position = Math.max(reader.position, 0);
      return;
    }
    // Nothing of its channel lies between its own last record and the tail.
    reader.position = Math.max(reader.position, this.tail);
    const same = this.byChannel.get(reader.channel);
    same?.delete(reader);
    if (same?.size === 0) this.byChannel.delete(reader.channel);
  }
}
