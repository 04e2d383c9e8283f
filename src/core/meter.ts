/** Counters of one channel. Plain numbers, added to on the hot path. */
export interface ChannelCounters {
  published: number;
  /** Publishes that a broker recognised as repeated, and deliveries dropped because their effect was made before. */
  duplicates: number;
  publishFailed: number;
}

/** Counters of one group on one channel. */
export interface GroupCounters {
  /** Handler started. */
  delivered: number;
  handled: number;
  /** Handler threw, timed out or nacked: every failed attempt. */
  failed: number;
  /** Failed attempts that will be tried again. */
  retried: number;
  /** Deliveries with an attempt above 1. */
  redelivered: number;
  deadLettered: number;
  /** Given up on with dead letters switched off. */
  discarded: number;
  expired: number;
  duplicates: number;
  /** Seen and passed over by the filter. */
  filtered: number;
  snoozed: number;
}

/** Counters of one group on one channel, and its latencies. */
export interface GroupMeter extends GroupCounters {
  /** One message was handled: publish to handled, milliseconds. */
  latency(ms: number): void;
}

/** Where the hot path counts. Implemented once, in observability; read by getMetrics and at scrape. */
export interface Meter {
  channel(channel: string): ChannelCounters;
  group(channel: string, group: string): GroupMeter;
  /** A reply came after its request had ended. */
  lateReply(): void;
}
