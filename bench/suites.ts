import { BULLMQ_CASES } from "./bullmq/cases.ts";
import { FAILOVER_CASES } from "./failover/cases.ts";
import { FILE_CASES } from "./file/cases.ts";
import { HYBRID_CASES } from "./hybrid/cases.ts";
import { KAFKA_CASES } from "./kafka/cases.ts";
import { CASES, type Case } from "./memory/cases.ts";
import { PEERS } from "./memory/peers.ts";
import { NATS_CASES } from "./nats/cases.ts";
import { EVENT_STORE_CASES } from "./patterns/event-store.ts";
import { EXACTLY_ONCE_CASES } from "./patterns/exactly-once.ts";
import { QUEUE_CASES } from "./patterns/queue.ts";
import { ROUTER_CASES } from "./patterns/router.ts";
import { RABBITMQ_CASES } from "./rabbitmq/cases.ts";
import { REDIS_CASES } from "./redis/cases.ts";

/** What a benchmark of one name runs. */
export interface Suite {
  readonly cases: readonly Case[];
  /** It runs beside packages that only the benchmark installs. */
  readonly peers?: boolean;
  /** Its cases start a Redis; elsewhere only those do whose names begin with `BullMQ`. */
  readonly redis?: boolean;
  /** Its cases start a NATS server. */
  readonly nats?: boolean;
  /** Its cases start a RabbitMQ. */
  readonly rabbitmq?: boolean;
}

/** Every benchmark, by the name it is asked for. */
export const SUITES: Readonly<Record<string, Suite>> = {
  memory: { cases: [...CASES, ...PEERS], peers: true },
  file: { cases: FILE_CASES },
  redis: { cases: REDIS_CASES, redis: true },
  nats: { cases: NATS_CASES, nats: true },
  kafka: { cases: KAFKA_CASES },
  rabbitmq: { cases: RABBITMQ_CASES, rabbitmq: true },
  failover: { cases: FAILOVER_CASES, redis: true },
  hybrid: { cases: HYBRID_CASES },
  bullmq: { cases: BULLMQ_CASES, redis: true },
  patterns: {
    cases: [...QUEUE_CASES, ...EVENT_STORE_CASES, ...EXACTLY_ONCE_CASES, ...ROUTER_CASES],
    redis: true,
  },
};
