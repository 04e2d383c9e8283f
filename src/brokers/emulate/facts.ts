import type { Broker, BrokerAdmin } from "../../core/broker.ts";
import { createEnvelope } from "../../core/envelope.ts";
import { createId } from "../../core/ids.ts";
import { FOREVER_MS } from "./emulation.ts";

const PAGE = 500;

/** One fact as it lies on its channel. */
export interface Found<T> {
  readonly fact: T;
  readonly position: string;
}

/** Facts that all processes of a broker share, one JSON text each, kept in the order of writing on a channel of the broker itself. */
export class Facts<T extends object> {
  readonly channel: string;
  readonly #broker: Broker;
  readonly #admin: BrokerAdmin;
  readonly #now: () => number;
  readonly #isFact: (value: unknown) => value is T;

  constructor(
    broker: Broker,
    channel: string,
    { now, isFact }: { readonly now: () => number; readonly isFact: (value: unknown) => value is T },
  ) {
    this.#broker = broker;
    this.#admin = broker.admin as BrokerAdmin;
    this.channel = channel;
    this.#now = now;
    this.#isFact = isFact;
  }

  /** Makes the channel. */
  open(): Promise<void> {
    return this.#admin.declare(this.channel, { retentionMs: FOREVER_MS });
  }

  /** Writes a fact; resolves to its place once everybody can read it. Rejects with what publishing it fails with. */
  async write(fact: T): Promise<string | null> {
    const now = this.#now();
    const envelope = createEnvelope({
      id: createId(now),
      channel: this.channel,
      source: "emulate",
      time: now,
      body: new TextEncoder().encode(JSON.stringify(fact)),
    });
    const [result] = await this.#broker.publish([envelope]);
    if (result?.ok === false) throw result.error;
    return result?.position ?? null;
  }

  /** All facts after a position, in the order of writing. */
  async *read(after?: string): AsyncGenerator<Found<T>> {
    let from = after;
    for (;;) {
      const page = await this.#admin.browse(
        this.channel,
        from === undefined ? { limit: PAGE } : { limit: PAGE, after: from },
      );
      for (const { envelope, position } of page) {
        from = position;
        const fact = this.#parse(envelope.body);
        if (fact !== undefined) yield { fact, position };
      }
      if (page.length < PAGE) return;
    }
  }

  /** What somebody else has written here is no fact. */
  #parse(body: Uint8Array): T | undefined {
    try {
      const value: unknown = JSON.parse(new TextDecoder().decode(body));
      return this.#isFact(value) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  async erase(positions: readonly string[]): Promise<void> {
    if (positions.length > 0) await this.#admin.erase(this.channel, positions);
  }
}

/** True for an object whose fields of these names are of these types. */
export function hasFields(value: unknown, types: Readonly<Record<string, "string" | "number">>): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(types).every(
    ([name, type]) => typeof (value as Record<string, unknown>)[name] === type,
  );
}
