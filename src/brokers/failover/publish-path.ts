import type { Broker, BrokerPublishOptions, Capabilities, PublishResult } from "../../core/broker.ts";
import type { Clock } from "../../core/clock.ts";
import type { Envelope } from "../../core/envelope.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { isDeadLetterChannel } from "../../core/names.ts";
import type { TimeLimits } from "./deadline.ts";
import type { KeyFence } from "./fence.ts";
import { Gate } from "./gate.ts";
import { isRepeat, toSpooled, toSpoolEntry } from "./handover.ts";
import type { Entry, Journal } from "./journal.ts";
import type { FailoverSettings } from "./options.ts";
import { canSpill, isDeadline, isOutage, isUnknown } from "./outage.ts";

/** What publishing needs of the rest. */
export interface PublishHost {
  readonly settings: FailoverSettings;
  readonly clock: Clock;
  readonly limits: TimeLimits;
  readonly fence: KeyFence;
  /** True while publishers write to the primary. */
  usesPrimary(): boolean;
  /** True while the primary answers. */
  isPrimaryUp(): boolean;
  succeeded(): void;
  failed(error: HeraldError): void;
  /** Set where every message is written down before it is published. */
  readonly journal: Journal | undefined;
  /** The primary recognises ids. */
  readonly primaryDedupes: boolean;
  /** Something was written on the fallback. */
  spooled(count: number): void;
  /** The fallback could not take what it should have taken. */
  fallbackFailed(error: HeraldError): void;
}

/** How a message gets to one of the two sides: the mode says which, a failure sends it to the other. */
export class PublishPath {
  readonly #primary: Broker;
  readonly #fallback: Broker;
  readonly #host: PublishHost;
  readonly #gate: Gate;
  /** What the fallback was given to hand over: with a journal it is told apart from what the primary took itself. */
  readonly #spooled = new WeakSet<Envelope>();
  readonly #fallbackDedupes: boolean;

  constructor(
    brokers: { readonly primary: Broker; readonly fallback: Broker },
    fallback: Capabilities,
    host: PublishHost,
  ) {
    this.#primary = brokers.primary;
    this.#fallback = brokers.fallback;
    this.#host = host;
    this.#fallbackDedupes = fallback.dedupe;
    this.#gate = new Gate(host.settings.maxPendingMessages, host.limits);
  }

  /** Envelopes that wait for the primary's answer. */
  get pending(): number {
    return this.#gate.inside;
  }

  /** Positional results; never rejects. */
  publish(envelopes: readonly Envelope[], options: BrokerPublishOptions): Promise<readonly PublishResult[]> {
    const { journal } = this.#host;
    return journal === undefined
      ? this.#route(envelopes, options)
      : this.#writeDown(envelopes, options, journal);
  }

  /** The journal first. A fallback that is full does not stop a primary that is well. */
  async #writeDown(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
    journal: Journal,
  ): Promise<readonly PublishResult[]> {
    let entries: readonly Entry[] = [];
    try {
      entries = await journal.append(envelopes);
    } catch (error) {
      this.#host.fallbackFailed(toHeraldError(error));
    }
    // What is published again from the journal must be recognised.
    const isOnce = this.#host.primaryDedupes && !envelopes.some(isRepeat);
    const once = isOnce ? { ...options, dedupe: true } : options;
    const results = await this.#route(envelopes, once);
    try {
      await journal.settle(entries, results, (at) => !this.#spooled.has(envelopes[at] as Envelope));
    } catch (error) {
      this.#host.fallbackFailed(toHeraldError(error));
    }
    return results;
  }

  async #route(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const { fence } = this.#host;
    if (!this.#host.usesPrimary()) return this.#spool(envelopes, options, undefined);
    if (fence.isEmpty) return this.#send(envelopes, options);
    for (let wait = fence.waitFor(envelopes); wait !== undefined; wait = fence.waitFor(envelopes)) await wait;
    if (!this.#host.usesPrimary()) return this.#spool(envelopes, options, undefined);
    return this.#split(
      envelopes,
      envelopes.map((envelope) => fence.covers(envelope)),
      (fenced) => this.#spool(fenced, options, undefined),
      (free) => this.#send(free, options),
    );
  }

  /** To the primary; what it cannot take goes to the fallback. */
  async #send(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const { settings, limits } = this.#host;
    const count = envelopes.length;
    if (!this.#gate.enter(count) && !(await this.#gate.wait(count, settings.spillAfterMs)))
      return this.#spool(envelopes, options, undefined);
    let results: readonly PublishResult[];
    try {
      results = await limits.within(
        this.#primary.publish(envelopes, options),
        settings.publishDeadlineMs,
        "a publish",
      );
    } catch (thrown) {
      const error = toHeraldError(thrown);
      this.#host.failed(error);
      if (isOutage(error)) return await this.#spool(envelopes, options, error);
      return envelopes.map(() => ({ ok: false, error }));
    } finally {
      this.#gate.leave(count);
    }
    return this.#afterPrimary(envelopes, results, options);
  }

  #afterPrimary(
    envelopes: readonly Envelope[],
    results: readonly PublishResult[],
    options: BrokerPublishOptions,
  ): readonly PublishResult[] | Promise<readonly PublishResult[]> {
    let outage: HeraldError | undefined;
    let isSpilling = false;
    for (const result of results) {
      if (result.ok) continue;
      isSpilling ||= canSpill(result.error);
      if (isOutage(result.error)) outage = result.error;
    }
    if (outage === undefined) this.#host.succeeded();
    else this.#host.failed(outage);
    if (!isSpilling) return results;
    const spills = results.map((result) => !result.ok && canSpill(result.error));
    const kept = results.filter((_result, at) => spills[at] === false);
    const reason = results.find((result) => !result.ok && canSpill(result.error));
    return this.#split(
      envelopes,
      spills,
      (spilled) => this.#spool(spilled, options, reason?.ok === false ? reason.error : undefined),
      () => Promise.resolve(kept),
    );
  }

  /** To the fallback. `after`: what the primary said before. */
  async #spool(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
    after: HeraldError | undefined,
  ): Promise<readonly PublishResult[]> {
    const { fence, clock } = this.#host;
    // Before the first byte is written: a later message of the key must not find the way to the primary free.
    fence.enter(envelopes);
    let results: readonly PublishResult[];
    try {
      results = await this.#write(envelopes, options, clock.now());
    } catch (thrown) {
      const error = toHeraldError(thrown);
      results = envelopes.map(() => ({ ok: false, error }));
    } finally {
      fence.leave(envelopes);
    }
    const stored = results.filter(({ ok }) => ok).length;
    if (stored > 0) this.#host.spooled(stored);
    if (this.#host.journal !== undefined) for (const envelope of envelopes) this.#spooled.add(envelope);
    return stored === results.length ? results : this.#afterFallback(envelopes, results, options, after);
  }

  /** Every message twice: for those who read the fallback, and for the primary. Positional results. */
  async #write(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
    at: number,
  ): Promise<readonly PublishResult[]> {
    const own = envelopes.map((envelope) => toSpooled(envelope, at));
    const isOnce = this.#fallbackDedupes && options.dedupe === true;
    const isPlain = !isOnce && !envelopes.some(({ channel }) => isDeadLetterChannel(channel));
    if (isPlain) {
      const entries = envelopes.map((envelope) => toSpoolEntry(envelope, at));
      const both = await this.#fallback.publish([...own, ...entries]);
      return envelopes.map((_envelope, i) => worse(both[i], both[i + envelopes.length]));
    }
    const results = await this.#fallback.publish(own, isOnce ? options : {});
    const isNew = results.map((result) => result.ok && !result.deduplicated);
    const entries = envelopes.flatMap((envelope, i) => {
      const result = results[i];
      return isNew[i] === true && result?.ok === true
        ? [toSpoolEntry(envelope, at, result.position ?? undefined)]
        : [];
    });
    if (entries.length === 0) return results;
    const spooled = (await this.#fallback.publish(entries)).values();
    return results.map((result, i) => (isNew[i] === true ? worse(result, spooled.next().value) : result));
  }

  /** The fallback is full or gone: the primary is all there is, if it is well. */
  #afterFallback(
    envelopes: readonly Envelope[],
    results: readonly PublishResult[],
    options: BrokerPublishOptions,
    after: HeraldError | undefined,
  ): readonly PublishResult[] | Promise<readonly PublishResult[]> {
    const failed = results.find((result) => !result.ok && canSpill(result.error));
    if (failed === undefined || failed.ok) return results;
    this.#host.fallbackFailed(failed.error);
    const isHopeless = after !== undefined || !this.#host.isPrimaryUp();
    if (isHopeless)
      return results.map((result) =>
        !result.ok && after !== undefined && isUnknown(after) ? { ok: false, error: after } : result,
      );
    const spills = results.map((result) => !result.ok && canSpill(result.error));
    const kept = results.filter((_result, at) => spills[at] === false);
    return this.#split(
      envelopes,
      spills,
      (rest) => this.#publishOnly(rest, options),
      () => Promise.resolve(kept),
    );
  }

  /** To the primary and nowhere else. */
  async #publishOnly(
    envelopes: readonly Envelope[],
    options: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const { limits, settings } = this.#host;
    try {
      return await limits.within(
        this.#primary.publish(envelopes, options),
        settings.publishDeadlineMs,
        "a publish",
      );
    } catch (thrown) {
      const error = toHeraldError(thrown);
      if (isDeadline(error)) this.#host.failed(error);
      return envelopes.map(() => ({ ok: false, error }));
    }
  }

  /** Sends the chosen envelopes one way and the others another, and puts the results back in their places. */
  async #split(
    envelopes: readonly Envelope[],
    isChosen: readonly boolean[],
    chosen: (envelopes: readonly Envelope[]) => Promise<readonly PublishResult[]>,
    others: (envelopes: readonly Envelope[]) => Promise<readonly PublishResult[]>,
  ): Promise<readonly PublishResult[]> {
    const first = envelopes.filter((_envelope, at) => isChosen[at] === true);
    const second = envelopes.filter((_envelope, at) => isChosen[at] !== true);
    const [ofFirst, ofSecond] = await Promise.all([
      first.length === 0 ? [] : chosen(first),
      second.length === 0 ? [] : others(second),
    ]);
    const firstResults = ofFirst.values();
    const secondResults = ofSecond.values();
    return isChosen.map((is) => (is ? firstResults : secondResults).next().value ?? missing());
  }
}

/** Both must be stored. */
function worse(one: PublishResult | undefined, other: PublishResult | undefined): PublishResult {
  if (one === undefined || other === undefined) return missing();
  return one.ok ? (other.ok ? one : other) : one;
}

function missing(): PublishResult {
  const message = "A broker gave fewer results than it got envelopes; results must be positional.";
  return { ok: false, error: new HeraldError("INTERNAL", message) };
}
