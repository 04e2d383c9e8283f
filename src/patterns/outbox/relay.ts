import type { Clock, TimerHandle } from "../../core/clock.ts";
import { isHeraldError, toHeraldError, type ErrorCode, type HeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { PublishOptions } from "../../core/message.ts";
import { currentDelivery } from "../../delivery/context.ts";
import { Lease } from "../lease.ts";
import type { Messaging } from "../messaging.ts";
import { SqlHolders, wrong, type OutboxTables, type SqlDatabase, type SqlStatement } from "./sql.ts";

/** How an outbox is relayed. */
export interface RelayOptions {
  /** How often the table is looked at when nobody calls `wake()`. Default 500. */
  readonly pollMs?: number;
  /** A relay whose process gives no sign of life for so long is followed by another. Default 10,000. */
  readonly leaseMs?: number;
  /** Messages published at once. Default 100. */
  readonly batch?: number;
}

/** What stands in the column `options`. */
export interface StoredOptions {
  /** When it was written, epoch milliseconds: delays and lifetimes count from then. */
  readonly at: number;
  readonly options: PublishOptions;
}

/** What a relay needs of its outbox. */
export interface RelayParts {
  readonly over: Messaging;
  readonly database: SqlDatabase;
  readonly tables: OutboxTables;
  readonly clock: Clock;
}

interface Row {
  readonly id: string;
  readonly channel: string;
  readonly payload: string;
  readonly options: string;
}

const NAME = "relay";
const RETRY_MS = 500;

/** Publishes what an outbox holds, oldest first, and removes it when the broker has it. */
export class OutboxRelay {
  readonly #parts: RelayParts;
  readonly #holders: SqlHolders;
  readonly #pollMs: number;
  readonly #leaseMs: number;
  readonly #batch: number;
  readonly #isDeduped = new Map<string, boolean>();
  #relayed = 0;
  #running: Promise<void> | undefined;
  #stopping = new AbortController();
  #wake: (() => void) | undefined;
  /** Somebody called `wake()` while it was at work. */
  #isWoken = false;

  /** Throws `INVALID_ARGUMENT` naming the field. */
  constructor(parts: RelayParts, { pollMs = 500, leaseMs = 10_000, batch = 100 }: RelayOptions) {
    for (const [field, value] of Object.entries({ pollMs, leaseMs }))
      if (!(typeof value === "number" && value > 0)) throw wrong(field, "a number above 0", value);
    if (!(Number.isInteger(batch) && batch >= 1 && batch <= 500))
      throw wrong("batch", "a whole number from 1 to 500", batch);
    this.#parts = parts;
    this.#holders = new SqlHolders(parts.tables, (statement) => this.#query(statement));
    this.#pollMs = pollMs;
    this.#leaseMs = leaseMs;
    this.#batch = batch;
  }

  /** Messages that this relay has published since it was made. */
  get relayed(): number {
    return this.#relayed;
  }

  /** Relays from now on, as soon as no other process does. What fails is told on `herald:fault` and tried again. Idempotent. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#stopping = new AbortController();
    this.#running = currentDelivery.exit(() => this.#run(this.#stopping.signal));
  }

  /** Looks at the table at once: something was committed. */
  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  /** Ends with the batch that is on its way; another process goes on at once. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake?.();
    await this.#running;
    this.#running = undefined;
  }

  async #run(stopping: AbortSignal): Promise<void> {
    while (!stopping.aborted) {
      let lease: Lease | undefined;
      try {
        lease = await this.#lead(stopping);
        while (lease !== undefined && !stopping.aborted && !lease.lost.aborted) {
          this.#isWoken = false;
          const count = await this.#relay();
          if (count < this.#batch) await this.#pause(this.#pollMs);
        }
      } catch (error) {
        this.#fault(error);
        if (!stopping.aborted) await this.#pause(RETRY_MS);
      }
      // Who comes next finds out by itself when the database is away.
      await lease?.end(undefined).catch(() => false);
    }
  }

  /** Resolves once no other process relays; undefined: it was stopped. */
  async #lead(stopping: AbortSignal): Promise<Lease | undefined> {
    const { clock } = this.#parts;
    let known: { readonly token: string; readonly since: number } | undefined;
    while (!stopping.aborted) {
      const kept = await this.#holders.get("", NAME);
      const now = clock.monotonic();
      if (kept !== undefined && known?.token !== kept.token) known = { token: kept.token, since: now };
      if (kept === undefined || (known !== undefined && now - known.since >= this.#leaseMs)) {
        const place = { space: "", key: NAME, value: this.#parts.over.agentId };
        const token = kept?.token ?? null;
        const lease = await Lease.take(this.#holders, place, { clock, leaseMs: this.#leaseMs, token });
        if (lease !== undefined) return lease;
      } else await this.#pause(Math.min(this.#pollMs, this.#leaseMs / 4));
    }
    return undefined;
  }

  /** Publishes one batch; resolves to how many the table had. Rejects when the broker did not take all that it may take later. */
  async #relay(): Promise<number> {
    const { tables } = this.#parts;
    const rows = (await this.#query(tables.next(this.#batch))) as unknown as readonly Row[];
    const results = await Promise.allSettled(rows.map((row) => this.#publish(row)));
    const published: string[] = [];
    let failure: unknown;
    for (const [at, { id }] of rows.entries()) {
      const result = results[at] as PromiseSettledResult<string>;
      if (result.status === "fulfilled") published.push(id);
      else if (isForGood(result.reason)) await this.#refuse(id, toHeraldError(result.reason));
      else failure ??= result.reason;
    }
    if (published.length > 0) await this.#query(tables.remove(published));
    this.#relayed += published.length;
    if (failure !== undefined) throw failure;
    return rows.length;
  }

  async #publish({ id, channel, payload, options }: Row): Promise<string> {
    const { at, options: given } = JSON.parse(options) as StoredOptions;
    const { over, clock } = this.#parts;
    const passedMs = Math.max(0, clock.now() - at);
    const dedupe = this.#canDedupe(channel) ? { dedupe: true } : {};
    return over.publish(channel, JSON.parse(payload), { ...after(given, passedMs), id, ...dedupe });
  }

  /** Where the broker cannot recognise an id, a consumer's inbox does. */
  #canDedupe(channel: string): boolean {
    let can = this.#isDeduped.get(channel);
    if (can === undefined) {
      if (this.#isDeduped.size > 10_000) this.#isDeduped.clear();
      this.#isDeduped.set(channel, (can = this.#parts.over.broker.can("dedupe", channel)));
    }
    return can;
  }

  /** It can never be published: it stays, with the reason beside it, and holds up nothing. */
  async #refuse(id: string, error: HeraldError): Promise<void> {
    this.#fault(error);
    await this.#query(this.#parts.tables.refuse(id, `${error.code}: ${error.message}`));
  }

  async #query({ sql, parameters }: SqlStatement) {
    return this.#parts.database.query(sql, parameters);
  }

  #pause(delayMs: number): Promise<void> {
    const isOver = this.#isWoken || this.#stopping.signal.aborted;
    this.#isWoken = false;
    if (isOver) return Promise.resolve();
    return new Promise((resolve) => {
      let timer: TimerHandle | undefined;
      const end = (): void => {
        timer?.cancel();
        this.#wake = undefined;
        resolve();
      };
      timer = this.#parts.clock.setTimer(delayMs, end);
      this.#wake = end;
    });
  }

  #fault(error: unknown): void {
    emit("fault", () => ({ agent: this.#parts.over.agentId, error: toHeraldError(error), where: "outbox" }));
  }
}

/** What is wrong with a message, and not with the broker or with the moment. */
const FOR_GOOD: ReadonlySet<string> = new Set<ErrorCode>([
  "INVALID_ARGUMENT",
  "INVALID_CHANNEL",
  "UNSUPPORTED",
  "UNSERIALIZABLE",
  "DEPTH_LIMIT",
  "UNSAFE_PAYLOAD",
  "MESSAGE_TOO_LARGE",
  "HEADERS_TOO_LARGE",
  "HOP_LIMIT",
  "SCHEMA_VIOLATION",
  "FORBIDDEN",
]);

function isForGood(error: unknown): boolean {
  return isHeraldError(error) && !error.retryable && FOR_GOOD.has(error.code);
}

/** What is left of a delay and of a lifetime that count from when the message was written. */
function after(options: PublishOptions, passedMs: number): PublishOptions {
  const { delayMs, ttlSeconds, ...rest } = options;
  const delay = delayMs === undefined ? {} : { delayMs: Math.max(0, delayMs - passedMs) };
  const ttl = ttlSeconds === undefined ? {} : { ttlSeconds: Math.max(0, ttlSeconds - passedMs / 1000) };
  return { ...rest, ...delay, ...ttl };
}
