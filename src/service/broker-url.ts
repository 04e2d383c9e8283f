import type { Broker } from "../core/broker.ts";
import { systemClock, type Clock } from "../core/clock.ts";
import { HeraldError } from "../core/errors.ts";
import { FailoverBroker } from "../brokers/failover/broker.ts";
import { FileBroker } from "../brokers/file/broker.ts";
import { KafkaBroker } from "../brokers/kafka/broker.ts";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { NatsBroker } from "../brokers/nats/broker.ts";
import { RabbitBroker } from "../brokers/rabbitmq/broker.ts";
import { RedisBroker } from "../brokers/redis/broker.ts";
import { withMethods } from "./check-options.ts";

const named = new Map<string, MemoryBroker>();

/** Gives the broker of one run of a service: the object that was handed in, or what its URL names now. */
export type BrokerSource = () => Broker;

/**
 * A broker from its URL. `memory:` is a new broker of this process; `memory:<name>` is the one of that name, shared by
 * whoever asks for it in this process; `file:<folder>` is the store in a folder, `file:` the one in `.herald`; `redis:` and `rediss:` are a Redis server,
 * `nats:` and `tls:` a NATS server, `kafka:` and `kafkas:` a Kafka cluster, `amqp:` and `amqps:` a RabbitMQ server, with `?namespace=` the channels of that namespace. Throws `UNSUPPORTED` for any other.
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
  const url = broker ?? "memory:";
  const { scheme, rest } = split(url);
  const make = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
  if (make === undefined) {
    const message = `There is no broker for '${scheme}:' URLs: use ${FORMS}, or hand in a broker object.`;
    throw new HeraldError("UNSUPPORTED", message, { details: { field: "broker", scheme } });
  }
  return () => make({ url, rest, clock });
}

/** A URL in its parts, and the time that a new broker goes by. */
interface Named {
  readonly url: string;
  /** What stands after the scheme. */
  readonly rest: string;
  readonly clock: Clock;
}

/** One line a technology. What a URL cannot say is said by handing in the broker itself. */
const SCHEMES: Readonly<Record<string, (named: Named) => Broker>> = {
  memory: ({ rest, clock }) => (rest === "" ? new MemoryBroker({ clock }) : namedMemory(rest, clock)),
  file: ({ rest }) => new FileBroker(rest === "" ? {} : { directory: rest }),
  redis: ({ url, clock }) => new RedisBroker({ url, clock }),
  rediss: ({ url, clock }) => new RedisBroker({ url, clock }),
  nats: ({ url, clock }) => new NatsBroker({ url, clock }),
  tls: ({ url, clock }) => new NatsBroker({ url, clock }),
  kafka: ({ url, clock }) => new KafkaBroker({ url, clock }),
  kafkas: ({ url, clock }) => new KafkaBroker({ url, clock }),
  amqp: ({ url, clock }) => new RabbitBroker({ url, clock }),
  amqps: ({ url, clock }) => new RabbitBroker({ url, clock }),
  failover: ({ rest, clock }) => failover(rest, clock),
};
const FORMS =
  "memory:, memory:<name>, file:<folder>, redis://<host>, rediss://<host>, nats://<host>, tls://<host>, kafka://<host>, kafkas://<host>, amqp://<host>, amqps://<host> or failover:<url>|<url>";

/** `failover:<url of the primary>|<url of the fallback>`. */
function failover(rest: string, clock: Clock): Broker {
  const [primary = "", fallback = "", ...more] = rest.split("|");
  if (primary === "" || fallback === "" || more.length > 0) {
    const message = "A failover URL names two brokers: failover:redis://localhost|file:./spool.";
    throw new HeraldError("INVALID_ARGUMENT", message, { details: { field: "broker" } });
  }
  return new FailoverBroker({
    primary: brokerSource(primary, clock)(),
    fallback: brokerSource(fallback, clock)(),
    clock,
  });
}

function namedMemory(name: string, clock: Clock): MemoryBroker {
  const known = named.get(name);
  if (known !== undefined && !known.isClosed) return known;
  const made = new MemoryBroker({ clock });
  named.set(name, made);
  return made;
}

function split(url: string): { readonly scheme: string; readonly rest: string } {
  const at = url.indexOf(":");
  if (at < 0) return { scheme: url.toLowerCase(), rest: "" };
  return { scheme: url.slice(0, at).toLowerCase(), rest: url.slice(at + 1).replace(/^\/\//, "") };
}
