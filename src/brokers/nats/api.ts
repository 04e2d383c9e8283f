import type { Encoded, Incoming } from "./client.ts";
import { ApiRefusal, type ApiErrorBody } from "./errors.ts";
import type { Link } from "./link.ts";

/** How far a consumer has come, in its own count and in the stream, and when it last moved. */
export interface ConsumerPlace {
  readonly consumer_seq: number;
  readonly stream_seq: number;
  readonly last_active?: string;
}

/** A consumer as the server tells of it; the part of ADR-8 that is read here. */
export interface ConsumerInfo {
  readonly name: string;
  readonly created: string;
  readonly config: {
    readonly ack_wait?: number;
    readonly filter_subject?: string;
    readonly filter_subjects?: readonly string[];
    readonly metadata?: Readonly<Record<string, string>>;
  };
  readonly delivered: ConsumerPlace;
  readonly ack_floor: ConsumerPlace;
  readonly num_ack_pending: number;
  readonly num_pending: number;
  readonly num_waiting: number;
  /** When this was true, by the server's clock. */
  readonly ts?: string;
}

/** A stream as the server tells of it. */
export interface StreamInfo {
  readonly created: string;
  readonly config: {
    readonly storage: "file" | "memory";
    readonly allow_msg_schedules?: boolean;
    readonly allow_msg_ttl?: boolean;
    readonly duplicate_window?: number;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly [name: string]: unknown;
  };
  readonly state: {
    readonly messages: number;
    readonly first_seq: number;
    readonly last_seq: number;
    readonly first_ts?: string;
    readonly subjects?: Readonly<Record<string, number>>;
  };
  readonly total?: number;
}

/** One stored message. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly storedAt: number;
  readonly message: Incoming;
}

const ROOT = "$JS.API";
const NOT_FOUND = 404;
const END_OF_BATCH = 204;
const PAGE = 256;

/** JetStream's API over a link: JSON in, JSON out. Rejects with {@link ApiRefusal} for what the server refuses. */
export class Api {
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
  }

  async call<T>(subject: string, body: object = {}): Promise<T> {
    const { data } = await this.#link.request(`${ROOT}.${subject}`, JSON.stringify(body));
    const answer = JSON.parse(Buffer.from(data).toString("utf8")) as T & { readonly error?: ApiErrorBody };
    if (answer.error !== undefined) throw new ApiRefusal(answer.error);
    return answer;
  }

  /** Publishes into a stream; resolves to the sequence once it is stored. */
  async store(subject: string, body: string, headers?: Encoded): Promise<number> {
    const { data } = await this.#link.request(subject, body, headers);
    const answer = JSON.parse(Buffer.from(data).toString("utf8")) as { seq: number; error?: ApiErrorBody };
    if (answer.error !== undefined) throw new ApiRefusal(answer.error);
    return answer.seq;
  }

  consumer(stream: string, name: string): Promise<ConsumerInfo> {
    return this.call(`CONSUMER.INFO.${stream}.${name}`);
  }

  /** Every consumer of a stream. */
  async *consumers(stream: string): AsyncGenerator<ConsumerInfo> {
    for (let offset = 0; ; offset += PAGE) {
      const page = await this.call<{ consumers: readonly ConsumerInfo[] | null; total: number }>(
        `CONSUMER.LIST.${stream}`,
        { offset },
      );
      yield* page.consumers ?? [];
      if (offset + PAGE >= page.total) return;
    }
  }

  /** How many messages lie under each subject that a filter covers. */
  async subjects(stream: string, filter: string): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for (;;) {
      const info = await this.call<StreamInfo>(`STREAM.INFO.${stream}`, {
        subjects_filter: filter,
        offset: found.size,
      });
      const page = Object.entries(info.state.subjects ?? {});
      for (const [subject, count] of page) found.set(subject, count);
      if (page.length === 0 || found.size >= (info.total ?? 0)) return found;
    }
  }

  /** One message, or undefined. */
  async message(
    stream: string,
    query:
      | { readonly seq: number }
      | { readonly last_by_subj: string }
      | { readonly seq: number; readonly next_by_subj: string }
      | { readonly start_time: string; readonly next_by_subj: string },
  ): Promise<StoredMessage | undefined> {
    const message = await this.#link.request(`${ROOT}.DIRECT.GET.${stream}`, JSON.stringify(query));
    const code = message.headers?.code ?? 0;
    if (code === NOT_FOUND) return undefined;
    if (code >= 400) throw new ApiRefusal({ code, description: message.headers?.description ?? "" });
    return storedOf(message);
  }

  /** Every message under a subject, the oldest first. */
  async *under(stream: string, subject: string): AsyncGenerator<StoredMessage> {
    for (let seq = 1; ;) {
      const page = await this.messages(stream, { seq, next_by_subj: subject, batch: PAGE });
      yield* page;
      if (page.length < PAGE) return;
      seq = (page.at(-1) as StoredMessage).sequence + 1;
    }
  }

  /** The next of a subject from a place on, several in one request. */
  messages(
    stream: string,
    query: { readonly seq: number; readonly next_by_subj: string; readonly batch: number },
  ): Promise<readonly StoredMessage[]> {
    return new Promise((resolve, reject) => {
      const found: StoredMessage[] = [];
      const heard = (error: unknown, message: Incoming | undefined): boolean => {
        const code = message?.headers?.code ?? 0;
        if (message === undefined) reject(error);
        else if (code === END_OF_BATCH || code === NOT_FOUND) resolve(found);
        else if (code >= 400)
          reject(new ApiRefusal({ code, description: message.headers?.description ?? "" }));
        else {
          found.push(storedOf(message));
          return false;
        }
        return true;
      };
      try {
        this.#link.ask(`${ROOT}.DIRECT.GET.${stream}`, JSON.stringify(query), heard);
      } catch (error) {
        reject(error);
      }
    });
  }

  /** Deletes messages; resolves to how many went. */
  async purge(
    stream: string,
    query: { readonly filter?: string; readonly seq?: number; readonly keep?: number },
  ): Promise<number> {
    const { purged } = await this.call<{ purged: number }>(`STREAM.PURGE.${stream}`, query);
    return purged;
  }

  /** As {@link purge}, and nobody waits for it. */
  purgeSoon(stream: string, filter: string): void {
    try {
      this.#link.send(`${ROOT}.STREAM.PURGE.${stream}`, JSON.stringify({ filter }));
    } catch {
      // It ends by its age.
    }
  }
}

function storedOf(message: Incoming): StoredMessage {
  const { headers } = message;
  return {
    subject: headers?.get("Nats-Subject") ?? "",
    sequence: Number(headers?.get("Nats-Sequence")),
    storedAt: Date.parse(headers?.get("Nats-Time-Stamp") ?? ""),
    message,
  };
}
