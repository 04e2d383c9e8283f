import type { Clock } from "../../core/clock.ts";
import type { Effect, EffectLedger } from "../../core/effect.ts";
import { HeraldError, isHeraldError, showValue, toHeraldError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import type { KeptValue, KeyValueStore } from "../../core/store.ts";
import { Lease } from "../lease.ts";
import { Forgetting } from "./forgetting.ts";
import { doneWith, effectPlace, resultOf, type EffectPlace, type EffectRecord } from "./record.ts";

/** What a ledger is kept in, and how. */
export interface LedgerOptions {
  /** Whose calls these are: all processes of one agent share them. */
  readonly agentId: string;
  readonly values: KeyValueStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly retentionMs: number;
  readonly leaseMs: number;
}

/** A call that is ours to make. */
interface Begun {
  readonly lease: Lease;
  readonly runs: number;
}

const FIRST_WAIT_MS = 20;
const MAX_WAIT_MS = 500;

/**
 * An agent's calls to the outside by name and key. A call is claimed before it is made and its result recorded afterwards,
 * each with one conditional write; who makes it renews its claim. Between the two nobody can know whether it took effect.
 */
export class Ledger implements EffectLedger {
  readonly #options: LedgerOptions;
  readonly #space: string;
  readonly #forgetting: Forgetting;

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#space = `effects.${options.agentId}`;
    this.#forgetting = new Forgetting({ ...options, space: this.#space });
  }

  async run<T>(name: string, key: string, effect: Effect<T>, signal: AbortSignal): Promise<T> {
    const place = effectPlace(this.#options.agentId, name, key);
    if (typeof effect !== "function") {
      const message = `The effect ${showValue(place.id)} must be a function.`;
      throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "effect" } });
    }
    for (;;) {
      const begun = await this.#begin(place, signal);
      const done = "lease" in begun ? await this.#make(place, begun, { effect, signal }) : begun;
      if (done !== undefined) return resultOf(done, place) as T;
    }
  }

  /** Claims the call, or waits for the record of whoever has it. */
  async #begin(place: EffectPlace, signal: AbortSignal): Promise<Begun | EffectRecord> {
    const { clock, leaseMs } = this.#options;
    let known: { readonly token: string; readonly since: number } | undefined;
    let waitMs = FIRST_WAIT_MS;
    for (let isFirst = true; ; isFirst = false) {
      signal.throwIfAborted();
      const kept = isFirst ? undefined : await this.#options.values.get(this.#space, place.id);
      const record = kept === undefined ? undefined : (JSON.parse(kept.value) as EffectRecord);
      if (record?.state === "done") return record;
      const now = clock.monotonic();
      if (record?.state === "running" && known?.token !== kept?.token)
        known = { token: (kept as KeptValue).token, since: now };
      if (record?.state !== "running" || (known !== undefined && now - known.since >= leaseMs)) {
        const begun = await this.#claim(place, kept?.token ?? null, (record?.runs ?? 0) + 1);
        if (begun !== undefined) return begun;
      } else {
        await paused(clock, waitMs, signal);
        waitMs = Math.min(waitMs * 2, MAX_WAIT_MS, leaseMs);
      }
    }
  }

  /** Undefined: somebody else was quicker. */
  async #claim({ id }: EffectPlace, token: string | null, runs: number): Promise<Begun | undefined> {
    const { values, clock, leaseMs } = this.#options;
    const record: EffectRecord = { state: "running", runs, at: Math.floor(clock.now()) };
    const place = { space: this.#space, key: id, value: JSON.stringify(record) };
    const noting = this.#forgetting.note(id).then(
      () => undefined,
      (error: unknown) => toHeraldError(error),
    );
    const lease = await Lease.take(values, place, { clock, leaseMs, token });
    const failure = await noting;
    if (lease === undefined) return undefined;
    if (failure === undefined) return { lease, runs };
    // A record that is never found again must not be made.
    const before: EffectRecord = { ...record, state: "free", runs: runs - 1 };
    await lease.end(runs === 1 ? undefined : JSON.stringify(before)).catch(() => undefined);
    throw failure;
  }

  /** Makes the call and records what came of it. Undefined: it was taken over from us, and the record is another's. */
  async #make<T>(
    place: EffectPlace,
    { lease, runs }: Begun,
    { effect, signal }: { readonly effect: Effect<T>; readonly signal: AbortSignal },
  ): Promise<EffectRecord | undefined> {
    const { clock } = this.#options;
    const { idempotencyKey } = place;
    let result: unknown;
    try {
      signal.throwIfAborted();
      const either = AbortSignal.any([signal, lease.lost]);
      result = await effect({ idempotencyKey, attempt: runs, signal: either });
    } catch (error) {
      const record: EffectRecord = { state: "free", runs, at: Math.floor(clock.now()) };
      // What it threw is what counts; a claim that stays is over after a lease.
      await this.#end(lease, record).catch(() => undefined);
      throw error;
    }
    const record = doneWith(result, runs, Math.floor(clock.now()));
    return (await this.#end(lease, record)) ? record : undefined;
  }

  /** A store that is away for a moment must not cost a second call: tried for as long as nobody may take over. */
  async #end(lease: Lease, record: EffectRecord): Promise<boolean> {
    const { clock, leaseMs } = this.#options;
    const endsAt = clock.monotonic() + leaseMs;
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)) {
      try {
        return await lease.end(JSON.stringify(record));
      } catch (error) {
        const isOver = clock.monotonic() + waitMs >= endsAt;
        if (isOver || !isHeraldError(error) || !error.retryable) throw toHeraldError(error);
        await new Promise<void>((resolve) => void clock.setTimer(waitMs, resolve));
      }
    }
  }
}

/** Rejects with the signal's reason when it fires. */
function paused(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimer(delayMs, () => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
    const abort = (): void => {
      timer.cancel();
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
  });
}
