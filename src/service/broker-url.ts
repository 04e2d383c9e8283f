import type { Broker } from "../core/broker.ts";
import { HeraldError } from "../core/errors.ts";
import { MemoryBroker } from "../brokers/memory/broker.ts";

const named = new Map<string, MemoryBroker>();

/**
 * A broker from its URL. `memory:` is a new broker of this process; `memory:<name>` is the one of that name, shared by
 * whoever asks for it in this process. Rejects with `UNSUPPORTED` for any other.
 */
export function brokerOf(broker: Broker | string | undefined): Broker {
  if (broker === undefined) return new MemoryBroker();
  if (typeof broker !== "string") return broker;
  const [scheme, name] = split(broker);
  if (scheme !== "memory") {
    const message = `There is no broker for '${scheme}:' URLs: use memory: or memory:<name>, or hand in a broker object.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { scheme } });
  }
  if (name === "") return new MemoryBroker();
  return namedMemory(name);
}

function namedMemory(name: string): MemoryBroker {
  const known = named.get(name);
  if (known !== undefined && !known.isClosed) return known;
  const made = new MemoryBroker();
  named.set(name, made);
  return made;
}

function split(url: string): [scheme: string, rest: string] {
  const at = url.indexOf(":");
  return at < 0 ? [url, ""] : [url.slice(0, at).toLowerCase(), url.slice(at + 1).replace(/^\/\//, "")];
}
