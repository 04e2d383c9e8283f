import type { Clock } from "../../core/clock.ts";
import type { Commit, Subscription } from "../../core/broker.ts";
import { waitsAlready } from "../../core/broker-checks.ts";
import type { Deadline, Deadlines } from "../../core/deadlines.ts";
import type { Delivery, Failure, Settlement } from "../../core/delivery.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import type { Engine, Receiver } from "./engine.ts";
import { Gathered } from "../shared/gathered.ts";
import { errorOf } from "./accepted.ts";
import { FileDelivery, packCommits } from "./pack.ts";
import { KIND, SETTLE_STRIDE, type ErrorShape, type SettleBlock } from "./protocol.ts";

interface Waiting {
  readonly limit: number;
  readonly resolve: (deliveries: readonly Delivery[]) => void;
  readonly reject: (error: HeraldError) => void;
  deadline: Deadline<FileSubscription> | undefined;
  /** The thread knows of it. */
  isAsked: boolean;
}

/** What a subscription needs of its broker. */
export interface SubscriptionHost {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly waits: Deadlines<FileSubscription>;
  /** Why nothing more is to come, once the broker is closed. */
  closed(): HeraldError | undefined;
  left(subscription: FileSubscription): void;
}

const RETRY_MS = 100;
const NOTHING: readonly Delivery[] = Object.freeze([]);

/** One member of a group, or one broadcast listener. */
export class FileSubscription implements Subscription, Receiver {
  readonly id: number;
  readonly isCommitCheap = true;
  readonly #host: SubscriptionHost;
  readonly #prefetch: number;
  readonly #commits = new Gathered((scope: string, commits: readonly Commit[]) =>
    this.#commitAll(scope, commits),
  );
  #unsettled = 0;
  #waiting: Waiting | undefined;
  #closing: Promise<void> | undefined;

  constructor(id: number, prefetch: number, host: SubscriptionHost) {
    this.id = id;
    this.#prefetch = prefetch;
    this.#host = host;
  }

  receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    if (this.#waiting !== undefined) {
      return Promise.reject(waitsAlready());
    }
    const reason = this.#host.closed();
    if (reason !== undefined) return Promise.reject(reason);
    const isImpatient = !(waitMs > 0);
    if (this.#closing !== undefined || !(limit > 0)) return Promise.resolve(NOTHING);
    if (isImpatient && this.#unsettled >= this.#prefetch) return Promise.resolve(NOTHING);
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { limit, resolve, reject, deadline: undefined, isAsked: false };
      this.#waiting = waiting;
      this.#ask(isImpatient);
      if (!isImpatient && waitMs !== Infinity) waiting.deadline = this.#host.waits.add(waitMs, this);
    });
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    const ended: FileDelivery[] = [];
    const numbers: number[] = [];
    let failures: (Failure | undefined)[] | null = null;
    for (const settlement of settlements) {
      const delivery = settlement.delivery.receipt;
      if (!(delivery instanceof FileDelivery) || delivery.holder !== this.id) continue;
      if (settlement.kind !== "extend") {
        delivery.holder = 0;
        ended.push(delivery);
      }
      if (settlement.kind === "nack" && settlement.failure !== undefined)
        (failures ??= [])[numbers.length / SETTLE_STRIDE] = settlement.failure;
      numbers.push(KIND[settlement.kind], delivery.ref, delivery.seq, millisecondsOf(settlement));
    }
    if (numbers.length === 0 || this.#host.closed() !== undefined) return;
    this.#unsettled -= ended.length;
    const settled = this.#carry({ member: this.id, numbers: Float64Array.from(numbers), failures });
    if (this.#waiting?.isAsked === false) this.#ask(false);
    await settled;
  }

  /** Those of one turn of the event loop are one command, and each is in one transaction of SQLite. */
  async commit(commit: Commit): Promise<void> {
    const { receipt } = commit.delivery;
    const { scope, id } = commit.inbox;
    const reason = this.#host.closed();
    if (reason !== undefined) throw reason;
    if (!(receipt instanceof FileDelivery) || receipt.holder !== this.id) throw notHeld(id);
    receipt.holder = 0;
    try {
      const error = await this.#commits.ask(scope, commit);
      if (error !== undefined) throw errorOf(error);
    } catch (error) {
      receipt.holder = this.id;
      throw error;
    }
    this.#unsettled--;
    if (this.#waiting?.isAsked === false) this.#ask(false);
  }

  async #commitAll(scope: string, commits: readonly Commit[]): Promise<readonly (ErrorShape | undefined)[]> {
    const command = packCommits(commits, { member: this.id, scope });
    return (await this.#host.engine.command(command)) as (ErrorShape | undefined)[];
  }

  /**
   * A full disk may have room again: tried until the leases are over, when the messages are handed out again. They take no
   * room of the subscription meanwhile.
   */
  async #carry(block: SettleBlock): Promise<void> {
    const { engine, clock } = this.#host;
    const endsAt = clock.monotonic() + engine.leaseMs;
    for (;;) {
      try {
        await engine.settle(block);
        return;
      } catch (error) {
        const isOver = clock.monotonic() >= endsAt || this.#host.closed() !== undefined;
        if (isOver || !toHeraldError(error).retryable) throw error;
        await new Promise<void>((resolve) => void clock.setTimer(RETRY_MS, resolve));
      }
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  deliver(deliveries: FileDelivery[]): void {
    this.#unsettled += deliveries.length;
    if (this.#waiting !== undefined && this.#closing === undefined) {
      this.#finish(deliveries);
      return;
    }
    // Handed out while it closed: nobody has seen them.
    this.settle(deliveries.map((delivery) => ({ kind: "release", delivery, delayMs: 0 }))).catch(() => {});
  }

  nothing(): void {
    this.#finish(NOTHING);
  }

  fail(error: HeraldError): void {
    const waiting = this.#take();
    waiting?.reject(error);
  }

  /** The wait is over. What is on its way is waited for: it would be nobody's. */
  giveUp(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (!waiting.isAsked) {
      this.#finish(NOTHING);
      return;
    }
    const end = (): void => {
      if (this.#waiting === waiting) this.#finish(NOTHING);
    };
    this.#host.engine.command({ op: "endWait", member: this.id }).then(end, end);
  }

  /** The broker closes: nothing more is to come, and nobody is told. */
  end(): void {
    this.#closing ??= Promise.resolve();
    this.#finish(NOTHING);
    this.#host.engine.remove(this);
  }

  async #close(): Promise<void> {
    this.#finish(NOTHING);
    this.#host.left(this);
    if (this.#host.closed() !== undefined) return;
    try {
      await this.#host.engine.command({ op: "unsubscribe", member: this.id });
    } finally {
      this.#host.engine.remove(this);
    }
  }

  #ask(isImpatient: boolean): void {
    const waiting = this.#waiting as Waiting;
    const room = Math.min(waiting.limit, this.#prefetch - this.#unsettled);
    if (room <= 0) return;
    waiting.isAsked = true;
    this.#host.engine.want(this.id, room, isImpatient);
  }

  #finish(deliveries: readonly Delivery[]): void {
    this.#take()?.resolve(deliveries);
  }

  #take(): Waiting | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting?.deadline !== undefined) this.#host.waits.cancel(waiting.deadline);
    return waiting;
  }
}

function notHeld(id: string): HeraldError {
  return new HeraldError("CONFLICT", `${id} was settled before it was committed: nothing was written.`);
}

function millisecondsOf(settlement: Settlement): number {
  if (settlement.kind === "ack") return 0;
  return settlement.kind === "extend" ? settlement.leaseMs : settlement.delayMs;
}
