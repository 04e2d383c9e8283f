import type { Failure } from "../../core/delivery.ts";
import { NO_FAILURES } from "../shared/failures.ts";
import { HeaderLines } from "./codec.ts";
import type { Session } from "./session.ts";

/** What is known of a message that comes again, beside the server's count. */
export interface Note {
  /** The server's count when it was written. */
  readonly count: number;
  /** How many deliveries up to then were no attempts. */
  readonly released: number;
  readonly failures: readonly Failure[];
}

// Longer than any message waits to be delivered again, and than anybody looks for why it failed.
const KEPT_SECONDS = 30 * 24 * 3600;
const KEPT = new HeaderLines().add("Nats-TTL", `${KEPT_SECONDS}s`);

/** Failures are an author's own words, and a message of NATS has its limit: attempts come first. */
const MAX_LENGTH = 250_000;

/**
 * Notes beside the messages: JetStream counts deliveries and nothing else. Only what comes again has one; what is
 * acknowledged at once costs nothing.
 */
export class Notes {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Resolves once it is stored. */
  async write(consumer: string, sequence: string, note: Note): Promise<void> {
    const { api, names } = this.#session;
    const text = JSON.stringify(note);
    const isTooLong = text.length > MAX_LENGTH;
    const kept = isTooLong ? JSON.stringify({ ...note, failures: NO_FAILURES }) : text;
    await api.store(names.note(consumer, sequence), kept, KEPT);
  }

  async read(consumer: string, sequence: string): Promise<Note | undefined> {
    const { api, names } = this.#session;
    const found = await api.message(names.records, { last_by_subj: names.note(consumer, sequence) });
    return found === undefined ? undefined : parse(found.message.data);
  }

  /** The message is done with. */
  forget(consumer: string, sequence: string): void {
    const { api, names } = this.#session;
    api.purgeSoon(names.records, names.note(consumer, sequence));
  }
}

function parse(data: Uint8Array): Note | undefined {
  try {
    const { count, released, failures } = JSON.parse(Buffer.from(data).toString("utf8")) as Partial<Note>;
    if (typeof count !== "number" || typeof released !== "number") return undefined;
    return { count, released, failures: Array.isArray(failures) ? failures : NO_FAILURES };
  } catch {
    return undefined;
  }
}
