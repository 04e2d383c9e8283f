import type {
  Broker,
  BrokerPublishOptions,
  Capabilities,
  PublishResult,
  Subscription,
  SubscriptionSpec,
} from "../core/broker.ts";
import type { Delivery, Settlement } from "../core/delivery.ts";
import type { Envelope } from "../core/envelope.ts";
import { HeraldError, type ErrorCode } from "../core/errors.ts";
import { matchPattern } from "../core/pattern.ts";
import { BrokerWrapper, SubscriptionWrapper } from "../core/broker-wrapper.ts";

/** What can go wrong with one call to a broker. */
export type Fault =
  /** Publish: every envelope is refused for certain, nothing is stored. Other calls: they reject and have no effect. */
  | "refuse"
  /** Publish: every second envelope is refused, the others are stored. */
  | "half"
  /** The call takes effect and is reported as `TIMEOUT`: its caller cannot know. */
  | "unknown"
  /** Nothing takes effect and nobody answers until `heal()`. */
  | "silence";

/** When a fault strikes. All conditions must hold. */
export interface FaultRule {
  readonly on: "open" | "publish" | "subscribe" | "receive" | "settle";
  readonly fault: Fault;
  /** Code of the error. Default `OVERLOADED` for a publish, `NOT_CONNECTED` for other calls. */
  readonly code?: ErrorCode;
  /** Publish and settle: only envelopes of channels that this pattern covers; calls that hold none of them pass. */
  readonly channel?: string;
  /** Only every n-th call that matches, the n-th first. Default every one. */
  readonly every?: number;
  /** At most so often. Default without end. */
  readonly times?: number;
}

interface ArmedRule {
  readonly rule: FaultRule;
  seen: number;
  left: number;
}

type Call = <T>(on: FaultRule["on"], envelopes: readonly Envelope[], run: () => Promise<T>) => Promise<T>;

/** Any broker, failing on a script: for refusals, half-failed batches, lost answers and silence without a server. */
export class FlakyBroker extends BrokerWrapper {
  readonly #silent = new Set<() => void>();
  #rules: ArmedRule[] = [];
  #onFault: (fault: string) => void = () => {};
  #injected = 0;

  constructor(inner: Broker, rules: readonly FaultRule[] = []) {
    super(inner);
    for (const rule of rules) this.inject(rule);
  }

  /** How many faults have struck. */
  get injected(): number {
    return this.#injected;
  }

  /** Adds a rule; the first that matches a call decides. */
  inject(rule: FaultRule): void {
    this.#rules.push({ rule, seen: 0, left: rule.times ?? Infinity });
  }

  /** Calls `listener` with `<call>:<fault>` whenever a fault strikes. */
  onFault(listener: (fault: string) => void): void {
    this.#onFault = listener;
  }

  /** Takes every rule away; calls that were met with silence reject with `NOT_CONNECTED`. */
  heal(): void {
    this.#rules = [];
    for (const wake of this.#silent) wake();
    this.#silent.clear();
  }

  override open(signal?: AbortSignal): Promise<Capabilities> {
    return this.#call("open", [], () => this.inner.open(signal));
  }

  override subscribe(spec: SubscriptionSpec): Promise<Subscription> {
    return this.#call(
      "subscribe",
      [],
      async () => new FlakySubscription(await this.inner.subscribe(spec), this.#call),
    );
  }

  override async publish(
    envelopes: readonly Envelope[],
    options?: BrokerPublishOptions,
  ): Promise<readonly PublishResult[]> {
    const rule = this.#strike("publish", envelopes);
    if (rule === undefined) return this.inner.publish(envelopes, options);
    if (rule.fault === "silence") return this.#hush();
    const isHit = envelopes.map((envelope, at) => hits(rule, envelope, at));
    if (rule.fault === "unknown") {
      const stored = await this.inner.publish(envelopes, options);
      return stored.map((result, at) =>
        isHit[at] === true && result.ok ? { ok: false, error: lostAnswer() } : result,
      );
    }
    const passing = envelopes.filter((_envelope, at) => isHit[at] === false);
    const stored = passing.length === 0 ? [] : await this.inner.publish(passing, options);
    const results = stored.values();
    return isHit.map((hit) =>
      hit ? { ok: false, error: refusal(rule) } : (results.next().value ?? missing()),
    );
  }

  readonly #call: Call = async (on, envelopes, run) => {
    const rule = this.#strike(on, envelopes);
    if (rule === undefined) return run();
    if (rule.fault === "silence") return this.#hush();
    if (rule.fault !== "unknown") {
      throw new HeraldError(
        rule.code ?? "NOT_CONNECTED",
        `A fault was injected: ${on} failed. Try it again.`,
      );
    }
    await run();
    throw lostAnswer();
  };

  #strike(on: FaultRule["on"], envelopes: readonly Envelope[]): FaultRule | undefined {
    for (const armed of this.#rules) {
      const { rule } = armed;
      const needsHit = on === "publish" || rule.channel !== undefined;
      if (
        rule.on !== on ||
        armed.left <= 0 ||
        (needsHit && !envelopes.some((envelope, at) => hits(rule, envelope, at)))
      )
        continue;
      if (++armed.seen % (rule.every ?? 1) !== 0) continue;
      armed.left--;
      this.#injected++;
      this.#onFault(`${on}:${rule.fault}`);
      return rule;
    }
    return undefined;
  }

  #hush(): Promise<never> {
    return new Promise((_resolve, reject) => {
      this.#silent.add(() =>
        reject(new HeraldError("NOT_CONNECTED", "The broker had fallen silent. Try it again.")),
      );
    });
  }
}

class FlakySubscription extends SubscriptionWrapper {
  readonly #call: Call;

  constructor(inner: Subscription, call: Call) {
    super(inner);
    this.#call = call;
  }

  override receive(limit: number, waitMs: number): Promise<readonly Delivery[]> {
    return this.#call("receive", [], () => this.inner.receive(limit, waitMs));
  }

  override settle(settlements: readonly Settlement[]): Promise<void> {
    const envelopes = settlements.map(({ delivery }) => delivery.envelope);
    return this.#call("settle", envelopes, () => this.inner.settle(settlements));
  }
}

function hits(rule: FaultRule, { channel }: Envelope, at: number): boolean {
  if (rule.channel !== undefined && !matchPattern(rule.channel, channel)) return false;
  return rule.fault !== "half" || at % 2 === 1;
}

function refusal(rule: FaultRule): HeraldError {
  const message = "A fault was injected: the envelope was refused and not stored. Publish it again.";
  return new HeraldError(rule.code ?? "OVERLOADED", message);
}

function lostAnswer(): HeraldError {
  const message =
    "A fault was injected: the answer was lost, so the outcome is unknown. Try again with the same id.";
  return new HeraldError("TIMEOUT", message);
}

function missing(): PublishResult {
  const message =
    "The broker under the flaky one gave fewer results than it got envelopes; results must be positional.";
  return { ok: false, error: new HeraldError("INTERNAL", message) };
}
