import type { Entry, EntryQueue } from "./entry.ts";
import { Returned } from "./returned.ts";
import { pack, unpack, type Packed } from "./pack.ts";

const CHUNK = 2048;
/** Full chunks that stay objects: what is likely to be handed out soon. */
const LOOSE_CHUNKS = 2;

interface Chunk {
  entries: Entry[];
  packed: Packed | undefined;
  next: Chunk | undefined;
  /** False once an envelope in it is shared with another group: packing would copy it, not save it. */
  exclusive: boolean;
}

function createChunk(): Chunk {
  return { entries: [], packed: undefined, next: undefined, exclusive: true };
}

/** First in, first out, for one priority level of one group. Entries far from the head of a long lane are packed. */
export class Lane {
  readonly #queue: EntryQueue;
  /** What came back: handed out before everything else, in the order in which it was published. */
  readonly #front = new Returned();
  #head: Chunk = createChunk();
  #tail: Chunk = this.#head;
  #at = 0;
  #chunks = 1;

  constructor(queue: EntryQueue) {
    this.#queue = queue;
  }

  push(entry: Entry, exclusive: boolean): void {
    const tail = this.#tail;
    tail.entries.push(entry);
    if (!exclusive) tail.exclusive = false;
    if (tail.entries.length === CHUNK) this.#grow(tail);
  }

  unshift(entry: Entry): void {
    this.#front.push(entry);
  }

  shift(): Entry | undefined {
    if (this.#front.size > 0) return this.#front.pop();
    if (this.#at === CHUNK) this.#advance();
    const entry = this.#head.entries[this.#at];
    if (entry === undefined) return undefined;
    // The slot is emptied so that a handled message is not kept alive by its neighbours.
    this.#head.entries[this.#at++] = undefined as unknown as Entry;
    return entry;
  }

  #grow(full: Chunk): void {
    full.next = createChunk();
    this.#tail = full.next;
    this.#chunks++;
    if (this.#chunks <= LOOSE_CHUNKS || !full.exclusive || full === this.#head) return;
    full.packed = pack(full.entries);
    full.entries = [];
  }

  #advance(): void {
    const spent = this.#head;
    this.#head = spent.next as Chunk;
    // A spent chunk that has grown old must not keep its young successors alive until the next full collection.
    spent.next = undefined;
    this.#at = 0;
    this.#chunks--;
    const { packed } = this.#head;
    if (packed === undefined) return;
    this.#head.entries = unpack(packed, this.#queue);
    this.#head.packed = undefined;
  }
}
