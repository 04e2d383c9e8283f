import type { CoordinationMode } from "../brokers/failover/broker.ts";

/** Figures of a bus. */
export interface MessageBusStats {
  readonly mode: CoordinationMode;
  readonly isTransitioning: boolean;
  /** Messages that wait for the primary's answer. */
  readonly pendingMessages: number;
  readonly modeTransitions: number;
  readonly transport: {
    readonly messagesPublished: number;
    readonly messagesReceived: number;
    readonly activeSubscriptions: number;
    readonly connected: boolean;
    /** The broker that publishers write to: `redis`, `file`, … */
    readonly type: string;
  };
  readonly delivery: {
    readonly totalSent: number;
    readonly totalReceived: number;
    readonly totalFailed: number;
    /** Of the last thousand publishes, milliseconds; 0 before the first. */
    readonly avgLatencyMs: number;
  };
}

const KEPT = 1000;

/** What a bus counts. */
export class BusStatistics {
  readonly #latencies: number[] = [];
  #sent = 0;
  #received = 0;
  #failed = 0;

  sent(latencyMs: number): void {
    this.#latencies[this.#sent++ % KEPT] = latencyMs;
  }

  received(): void {
    this.#received++;
  }

  failed(): void {
    this.#failed++;
  }

  read(
    now: Pick<MessageBusStats, "mode" | "isTransitioning" | "pendingMessages" | "modeTransitions"> &
      Pick<MessageBusStats["transport"], "activeSubscriptions" | "connected" | "type">,
  ): MessageBusStats {
    const { mode, isTransitioning, pendingMessages, modeTransitions, ...transport } = now;
    const sum = this.#latencies.reduce((total, latencyMs) => total + latencyMs, 0);
    return {
      mode,
      isTransitioning,
      pendingMessages,
      modeTransitions,
      transport: { ...transport, messagesPublished: this.#sent, messagesReceived: this.#received },
      delivery: {
        totalSent: this.#sent,
        totalReceived: this.#received,
        totalFailed: this.#failed,
        avgLatencyMs: this.#latencies.length === 0 ? 0 : sum / this.#latencies.length,
      },
    };
  }
}
