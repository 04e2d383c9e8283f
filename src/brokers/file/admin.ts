import type { BrokerAdmin, ChannelOptions, StoredEnvelope } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { checkChannel } from "../../core/pattern.ts";
import { envelopeFrom } from "./pack.ts";
import type { Command } from "./protocol.ts";
import type { MessageRow } from "./sql/deliveries.ts";

/** Looks after the channels of a store. What is handed out is left to its holder. */
export class FileAdmin implements BrokerAdmin {
  readonly #ask: (command: Command) => Promise<unknown>;

  /** `ask` gives a command to the store, and rejects with `CLOSED` when the broker is not open. */
  constructor(ask: (command: Command) => Promise<unknown>) {
    this.#ask = ask;
  }

  async list(): Promise<readonly string[]> {
    return (await this.#ask({ op: "list" })) as string[];
  }

  async declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    checkChannel(channel);
    const { retentionMs = null } = options;
    if (retentionMs !== null && !(retentionMs >= 0)) throw wrongRetention(retentionMs);
    await this.#ask({ op: "declare", channel, retentionMs });
  }

  async remove(channel: string): Promise<void> {
    await this.#ask({ op: "purge", channel, isRemoved: true });
  }

  async purge(channel: string): Promise<number> {
    return (await this.#ask({ op: "purge", channel, isRemoved: false })) as number;
  }

  async browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    const after = Number(options.after ?? 0);
    const rows = (await this.#ask({ op: "browse", channel, after, limit: options.limit })) as MessageRow[];
    return rows.map((row) => ({
      position: String(row.seq),
      envelope: envelopeFrom(row.attributes, row.headers, {
        channel,
        body: row.body,
        storedAt: row.stored_at,
      }),
    }));
  }

  async erase(channel: string, positions: readonly string[]): Promise<number> {
    return (await this.#ask({ op: "erase", channel, positions: positions.map(Number) })) as number;
  }

  async dropGroup(pattern: string, group: string): Promise<void> {
    await this.#ask({ op: "dropGroup", pattern, group });
  }
}

function wrongRetention(value: unknown): HeraldError {
  const message = `retentionMs must be a number of 0 or more, not ${showValue(value)}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field: "retentionMs" } });
}
