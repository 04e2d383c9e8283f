import type { Broker, BrokerAdmin, Capabilities } from "../../core/broker.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";

/** Stands between a member's key and its own position. */
const MARK = "!";

/** One of the brokers that a hybrid broker is made of. */
export class Member {
  readonly broker: Broker;
  /** Its routes, in the order of their names. */
  readonly patterns: readonly string[];
  #capabilities: Capabilities | undefined;

  constructor(broker: Broker, patterns: readonly string[]) {
    this.broker = broker;
    this.patterns = patterns.toSorted();
  }

  /** The first of its routes: what positions begin with. The same in every process that has the same routes. */
  get key(): string {
    return this.patterns[0] as string;
  }

  get admin(): BrokerAdmin | undefined {
    return this.broker.admin;
  }

  /** What it can do; it must be open. */
  get capabilities(): Capabilities {
    return this.#capabilities as Capabilities;
  }

  /** What it can do on a channel, or on all that a pattern covers. */
  capabilitiesOf(pattern: string): Capabilities {
    return this.broker.capabilitiesOf?.(pattern) ?? this.capabilities;
  }

  /** Rejects with the code of what the broker rejects with, naming it. */
  async open(signal?: AbortSignal): Promise<Capabilities> {
    try {
      return (this.#capabilities = await this.broker.open(signal));
    } catch (thrown) {
      const { code, message, details, retryable } = toHeraldError(thrown);
      const text = `The member '${this.broker.name}' (${this.patterns.join(", ")}) of the hybrid broker cannot be opened: ${message}`;
      throw new HeraldError(code, text, {
        cause: thrown,
        retryable,
        details: { ...details, member: this.broker.name, patterns: this.patterns },
      });
    }
  }

  /** A position of its own as one of the whole. */
  outward(position: string): string {
    return this.key + MARK + position;
  }
}

/** A position of the whole in its parts; undefined for one that is none. */
export function positionParts(
  position: string,
): { readonly pattern: string; readonly own: string } | undefined {
  const at = position.indexOf(MARK);
  return at < 0 ? undefined : { pattern: position.slice(0, at), own: position.slice(at + 1) };
}
