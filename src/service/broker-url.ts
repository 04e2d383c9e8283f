import type { Broker } from "../core/broker.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { withMethods } from "./check-options.ts";

const named = new Map<string, MemoryBroker>();

/** Gives the broker of one run of a service: the object that was handed in, or what its URL names now. */
export type BrokerSource = () => Broker;

/**
 * A broker from its URL. `memory:` is a new broker of this process; `memory:<name>` is the one of that name, shared by
 * whoever asks for it in this process. Rejects with `UNSUPPORTED` for any other.
 */
export function brokerOf(broker: Broker | string | undefined): Broker {
  return brokerSource(broker, systemClock)();
}

/**
 * As {@link brokerOf}, asked once for every start: a broker that a service made for itself ends with its stop. One that is
 * made goes by `clock`. Throws `UNSUPPORTED` for an unknown URL and `INVALID_ARGUMENT` for what is no broker, at once.
 */
export function brokerSource(broker: Broker | string | undefined, clock: Clock): BrokerSource {
  if (broker !== undefined && typeof broker !== "string") {
    const given = withMethods("broker", broker, ["open", "publish", "subscribe", "inspect", "close"]);
    return () => given;
  }
  const [scheme, name] = split(broker ?? "memory:");
  if (scheme !== "memory") {
    const message = `There is no broker for '${scheme}:' URLs: use memory: or memory:<name>, or hand in a broker object.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { field: "broker", scheme } });
  }
  return name === "" ? () => new MemoryBroker({ clock }) : () => namedMemory(name, clock);
}

function namedMemory(name: string, clock: Clock): MemoryBroker {
  const known = named.get(name);
  if (known !== undefined && !known.isClosed) return known;
  const made = new MemoryBroker({ clock });
  named.set(name, made);
  return made;
}

function split(url: string): [scheme: string, rest: string] {
  const at = url.indexOf(":");
  return at < 0 ? [url, ""] : [url.slice(0, at).toLowerCase(), url.slice(at + 1).replace(/^\/\//, "")];
}
