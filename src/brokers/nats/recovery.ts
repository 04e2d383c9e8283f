import { HeaderLines } from "./codec.ts";
import { isConsumerMissing } from "./errors.ts";
import type { Session } from "./session.ts";

/** A server writes down ten times a second what it has delivered and what was acknowledged, or later when its disk is busy. */
const FORGETS_MS = 5000;
const KEPT = new HeaderLines().add("Nats-TTL", "3600s");
/** Of what was settled. They must fit into one message of the server. */
const MAX_RECENT = 30_000;

/** What one process had in hand of a consumer. */
interface Hand {
  /** When the stream was made whose places these are. */
  readonly stream: string;
  /** Attempts, by place; below zero: so many, and it was acknowledged. */
  readonly attempts: Readonly<Record<string, number>>;
}

interface Recent {
  readonly attempt: number;
  readonly isDone: boolean;
  /** Monotonic: until then the server may have forgotten it. */
  readonly until: number;
}

/**
 * What a consumer of this process has handed out and settled of late. A server that is killed forgets its last tenth of a second:
 * it would repeat what was acknowledged, and count from one again what it repeats. Every process writes down what it knows,
 * and reads what the others knew.
 */
export class Recovery {
  readonly #out = new Map<string, number>();
  readonly #recent = new Map<string, Recent>();
  /** As {@link Hand.attempts}, of all processes. */
  readonly #known = new Map<string, number>();

  handedOut(sequence: string, attempt: number): void {
    this.#out.set(sequence, attempt);
  }

  settled(sequence: string, isDone: boolean, now: number): void {
    const attempt = this.#out.get(sequence);
    if (attempt === undefined) return;
    this.#out.delete(sequence);
    this.#recent.delete(sequence);
    this.#recent.set(sequence, { attempt, isDone, until: now + FORGETS_MS });
    for (const [first, { until }] of this.#recent) {
      if (until > now && this.#recent.size <= MAX_RECENT) return;
      this.#recent.delete(first);
    }
  }

  /** How many attempts of a message there were that the server may have forgotten. */
  attempts(sequence: string): number {
    return Math.abs(this.#known.get(sequence) ?? 0);
  }

  /** It was acknowledged, and the server has forgotten that. */
  isDone(sequence: string): boolean {
    return (this.#known.get(sequence) ?? 0) < 0;
  }

  /** The stream is another one: its places are others. */
  clear(): void {
    this.#out.clear();
    this.#recent.clear();
    this.#known.clear();
  }

  /** Writes down what is known here, for the others. `consumer`: its name, and when its stream was made. */
  async write(
    session: Session,
    { consumer, stream }: { readonly consumer: string; readonly stream: string },
    now: number,
  ): Promise<void> {
    const own: Record<string, number> = Object.fromEntries(this.#out);
    for (const [sequence, { attempt, isDone, until }] of this.#recent)
      if (until > now) own[sequence] = isDone ? -attempt : attempt;
    if (Object.keys(own).length === 0) return;
    this.#learn(own);
    const hand: Hand = { stream, attempts: own };
    await session.api.store(session.names.hand(consumer, session.id), JSON.stringify(hand), KEPT);
  }

  /** Reads what the others have written down. */
  async read(
    session: Session,
    { consumer, stream }: { readonly consumer: string; readonly stream: string },
  ): Promise<void> {
    const { api, names } = session;
    try {
      for await (const { message } of api.under(names.records, names.hand(consumer, "*"))) {
        const hand = JSON.parse(Buffer.from(message.data).toString("utf8")) as Hand;
        if (hand.stream === stream) this.#learn(hand.attempts);
      }
    } catch (error) {
      if (!isConsumerMissing(error)) throw error;
    }
  }

  #learn(attempts: Readonly<Record<string, number>>): void {
    for (const [sequence, attempt] of Object.entries(attempts)) {
      const known = this.#known.get(sequence) ?? 0;
      const most = Math.max(Math.abs(known), Math.abs(attempt));
      this.#known.set(sequence, known < 0 || attempt < 0 ? -most : most);
    }
  }
}
