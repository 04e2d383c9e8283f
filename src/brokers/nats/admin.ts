import type {
  BrokerAdmin,
  ChannelOptions,
  ChannelReport,
  GroupReport,
  StoredEnvelope,
} from "../../core/broker.ts";
import { checkChannel, checkPattern, isWildcard, matchPattern } from "../../core/pattern.ts";
import type { ConsumerInfo, StoredMessage } from "./api.ts";
import { envelopeFrom } from "./codec.ts";
import { ApiRefusal, isConsumerMissing, natsError } from "./errors.ts";
import { consumerOf } from "./names.ts";
import type { Runtime } from "./runtime.ts";
import { sequenceOf } from "./start-from.ts";

const PAGE = 500;
const NO_MESSAGE = 10_037;

/** Looks after the channels of one namespace. */
export class NatsAdmin implements BrokerAdmin {
  readonly #runtime: () => Runtime;

  /** `runtime` throws `CLOSED` while the broker is not open. */
  constructor(runtime: () => Runtime) {
    this.#runtime = runtime;
  }

  list(): Promise<readonly string[]> {
    return this.#guard(async () => [...(await this.#depths()).keys()].toSorted());
  }

  declare(channel: string, options: ChannelOptions = {}): Promise<void> {
    return this.#guard(async ({ session: { api, names } }) => {
      checkChannel(channel);
      await api.store(names.declared(channel), JSON.stringify(options));
    });
  }

  remove(channel: string): Promise<void> {
    return this.#guard(async (runtime) => {
      const { api, names } = runtime.session;
      await api.purge(names.records, { filter: names.declared(channel) });
      await this.#purge(runtime, channel);
    });
  }

  purge(channel: string): Promise<number> {
    return this.#guard((runtime) => this.#purge(runtime, channel));
  }

  browse(
    channel: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredEnvelope[]> {
    return this.#guard(async ({ session: { api, names } }) => {
      checkChannel(channel);
      const { after, limit } = options;
      const found: StoredEnvelope[] = [];
      for (let seq = after === undefined ? 1 : (sequenceOf(after) ?? 0) + 1; found.length < limit;) {
        const batch = Math.min(PAGE, limit - found.length);
        const page = await api.messages(names.stream, { seq, next_by_subj: names.subject(channel), batch });
        found.push(...page.map((stored) => storedEnvelope(channel, stored)));
        if (page.length < batch) break;
        seq = (page.at(-1) as StoredMessage).sequence + 1;
      }
      return found;
    });
  }

  erase(channel: string, positions: readonly string[]): Promise<number> {
    return this.#guard(async (runtime) => {
      const { api, names } = runtime.session;
      checkChannel(channel);
      let erased = 0;
      await runtime.consumers.purging();
      for (const position of positions) {
        const seq = sequenceOf(position);
        if (seq === undefined || seq < 1) continue;
        const found = await api.message(names.stream, { seq });
        if (found === undefined || found.subject !== names.subject(channel)) continue;
        try {
          await api.call(`STREAM.MSG.DELETE.${names.stream}`, { seq, no_erase: true });
          erased++;
        } catch (error) {
          if (!(error instanceof ApiRefusal && error.errCode === NO_MESSAGE)) throw error;
        }
      }
      runtime.forgive();
      return erased;
    });
  }

  dropGroup(pattern: string, group: string): Promise<void> {
    return this.#guard((runtime) => {
      checkPattern(pattern);
      return runtime.dropGroup(pattern, group);
    });
  }

  /** How channels stand; of all that exist where none are named. */
  async report(channels: readonly string[] | undefined): Promise<readonly ChannelReport[]> {
    const depths = await this.#depths(channels);
    const consumers = channels === undefined ? await this.#all() : await this.#of(channels);
    for (const { config } of consumers) {
      const pattern = config.metadata?.["herald-pattern"];
      const isNamed =
        pattern !== undefined && !isWildcard(pattern) && config.metadata?.["herald-group"] !== undefined;
      if (isNamed && !depths.has(pattern) && (channels === undefined || channels.includes(pattern)))
        depths.set(pattern, 0);
    }
    return [...depths].map(([channel, depth]) => ({
      channel,
      depth,
      groups: this.#groups(channel, consumers),
    }));
  }

  #groups(channel: string, consumers: readonly ConsumerInfo[]): GroupReport[] {
    const found = new Map<string, GroupReport>();
    for (const consumer of consumers) {
      const { "herald-pattern": pattern, "herald-group": group } = consumer.config.metadata ?? {};
      if (pattern === undefined || group === undefined || !matchPattern(pattern, channel)) continue;
      // What the exact name says comes before what a pattern over many channels can tell of one.
      if (found.has(group) && pattern !== channel) continue;
      found.set(group, this.#groupOf(group, consumer, pattern === channel));
    }
    return [...found.values()];
  }

  #groupOf(group: string, consumer: ConsumerInfo, isExact: boolean): GroupReport {
    const { num_pending, num_ack_pending } = consumer;
    const lag = num_pending + num_ack_pending;
    if (!isExact && lag > 0) return { group, lag: null, unsettled: null };
    const parked = this.#runtime().parked(consumer.name);
    return { group, lag, unsettled: Math.max(0, num_ack_pending - parked) };
  }

  async #all(): Promise<ConsumerInfo[]> {
    const { api, names } = this.#runtime().session;
    const found: ConsumerInfo[] = [];
    for await (const consumer of api.consumers(names.stream)) found.push(consumer);
    return found;
  }

  /** The consumers that get messages of some channels: found by the records, so that others cost nothing. */
  async #of(channels: readonly string[]): Promise<ConsumerInfo[]> {
    const { api, names } = this.#runtime().session;
    const infos: Promise<ConsumerInfo[]>[] = [];
    for (const filter of [names.wilds(), ...channels.map((channel) => names.readersOf(channel))]) {
      for await (const { message } of api.under(names.records, filter)) {
        const { pattern, group } = recordIn(message.data);
        if (channels.some((channel) => matchPattern(pattern, channel)))
          infos.push(this.#info(consumerOf(pattern, group)));
      }
    }
    return (await Promise.all(infos)).flat();
  }

  async #info(consumer: string): Promise<ConsumerInfo[]> {
    const { api, names } = this.#runtime().session;
    try {
      return [await api.consumer(names.stream, consumer)];
    } catch (error) {
      if (isConsumerMissing(error)) return [];
      throw error;
    }
  }

  /** How many messages each channel holds; of those that exist. */
  async #depths(channels?: readonly string[]): Promise<Map<string, number>> {
    const { api, names } = this.#runtime().session;
    const found = new Map<string, number>();
    const wanted = channels ?? [">"];
    await Promise.all(
      wanted.map(async (name) => {
        for (const subject of (await api.subjects(names.records, names.declared(name))).keys()) {
          const channel = names.declaredChannel(subject);
          if (!channel.startsWith("~") && !found.has(channel)) found.set(channel, 0);
        }
        for (const [subject, count] of await api.subjects(names.stream, names.subject(name)))
          found.set(names.channel(subject), count);
      }),
    );
    return found;
  }

  async #purge(runtime: Runtime, channel: string): Promise<number> {
    checkChannel(channel);
    const { api, names } = runtime.session;
    await runtime.consumers.purging();
    const purged = await api.purge(names.stream, { filter: names.subject(channel) });
    runtime.forgive();
    return purged;
  }

  async #guard<T>(call: (runtime: Runtime) => Promise<T>): Promise<T> {
    const runtime = this.#runtime();
    try {
      return await call(runtime);
    } catch (error) {
      throw natsError(error);
    }
  }
}

function recordIn(data: Uint8Array): { readonly pattern: string; readonly group: string } {
  const { pattern = "", group = "" } = JSON.parse(Buffer.from(data).toString("utf8")) as {
    readonly pattern?: string;
    readonly group?: string;
  };
  return { pattern, group };
}

function storedEnvelope(channel: string, { message, sequence, storedAt }: StoredMessage): StoredEnvelope {
  const envelope = envelopeFrom(message, { channel, id: `nats-${sequence}`, storedAt });
  return { envelope, position: String(sequence) };
}
