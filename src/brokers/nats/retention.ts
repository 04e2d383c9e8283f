import type { TimerHandle } from "../../core/clock.ts";
import { matchPattern } from "../../core/pattern.ts";
import type { ConsumerInfo } from "./api.ts";
import type { Session } from "./session.ts";

/** Rounds are this far apart at the most, and a hundredth of the shortest retention at the least. */
const MAX_PAUSE_MS = 60_000;
const MIN_PAUSE_MS = 1000;

/**
 * Lets go of what every group has acknowledged, once it is old enough. JetStream's own limits would take away what nobody has
 * read yet.
 */
export class Retention {
  readonly #session: Session;
  #timer: TimerHandle | undefined;
  #closed = false;

  constructor(session: Session) {
    this.#session = session;
  }

  start(): void {
    const { clock, settings } = this.#session;
    const pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, settings.retentionMs / 100));
    // Processes that were started together do not do it together.
    this.#timer = clock.setTimer(pauseMs * (0.5 + Math.random()), () => void this.#run());
  }

  stop(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    try {
      if (this.#session.link.isUp) await this.round();
    } catch {
      // The next round does it.
    }
    if (!this.#closed) this.start();
  }

  /** Once through all channels that hold something old. */
  async round(): Promise<void> {
    const { api, names, clock, settings } = this.#session;
    const now = clock.now();
    const info = await api.call<{ state: { first_ts?: string; messages: number } }>(
      `STREAM.INFO.${names.stream}`,
    );
    const firstAt = Date.parse(info.state.first_ts ?? "");
    if (info.state.messages === 0 || !(firstAt < now - settings.retentionMs)) return;
    const consumers: ConsumerInfo[] = [];
    for await (const consumer of api.consumers(names.stream)) consumers.push(consumer);
    const kept = await this.#kept();
    for (const subject of (await api.subjects(names.stream, names.subject(">"))).keys()) {
      if (this.#closed) return;
      const channel = names.channel(subject);
      const before = now - Math.max(settings.retentionMs, kept.get(channel) ?? 0);
      await this.#trim(subject, channel, before, consumers);
    }
  }

  async #trim(
    subject: string,
    channel: string,
    before: number,
    consumers: readonly ConsumerInfo[],
  ): Promise<void> {
    const { api, names } = this.#session;
    const first = await api.message(names.stream, { seq: 1, next_by_subj: subject });
    if (first === undefined || first.storedAt >= before) return;
    const young = await api.message(names.stream, {
      start_time: new Date(before).toISOString(),
      next_by_subj: subject,
    });
    let until = young?.sequence ?? Infinity;
    for (const consumer of consumers) {
      if (!covers(consumer, channel)) continue;
      const isDone = consumer.num_pending === 0 && consumer.num_ack_pending === 0;
      // One that has everything may have been given more since.
      until = Math.min(until, (isDone ? consumer.delivered.stream_seq : consumer.ack_floor.stream_seq) + 1);
    }
    if (until === Infinity)
      await api.purge(names.stream, { filter: subject, seq: (await this.#last(subject)) + 1 });
    else if (until > first.sequence) await api.purge(names.stream, { filter: subject, seq: until });
  }

  async #last(subject: string): Promise<number> {
    const { api, names } = this.#session;
    return (await api.message(names.stream, { last_by_subj: subject }))?.sequence ?? 0;
  }

  /** Channels that are kept for a time of their own. */
  async #kept(): Promise<Map<string, number>> {
    const { api, names } = this.#session;
    const found = new Map<string, number>();
    for await (const { subject, message } of api.under(names.records, names.declared(">"))) {
      const { retentionMs } = JSON.parse(Buffer.from(message.data).toString("utf8")) as {
        readonly retentionMs?: number;
      };
      if (retentionMs !== undefined) found.set(names.declaredChannel(subject), retentionMs);
    }
    return found;
  }
}

/** Does a consumer, also one that another tool has made, get the messages of a channel? */
function covers({ config }: ConsumerInfo, channel: string): boolean {
  const pattern = config.metadata?.["herald-pattern"];
  return pattern === undefined || matchPattern(pattern, channel);
}
