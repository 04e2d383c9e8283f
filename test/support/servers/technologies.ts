import { apicurioHome } from "./apicurio-home.ts";
import { kafkaHome } from "./kafka-home.ts";
import { kcatBinary } from "./kcat-binary.ts";
import { natsBinary } from "./nats-binary.ts";
import { postgresHome } from "./postgres-home.ts";
import { rabbitmqHome } from "./rabbitmq-home.ts";
import { redisBinary } from "./redis-binary.ts";

const FINDERS = {
  redis: redisBinary,
  kafka: kafkaHome,
  kcat: kcatBinary,
  rabbitmq: rabbitmqHome,
  nats: natsBinary,
  apicurio: apicurioHome,
  postgres: postgresHome,
};

/** What servers for tests there are, and programs of other people beside them. */
export type Technology = keyof typeof FINDERS;

/** Why a technology cannot be had on this machine; undefined when it can. It installs what is missing. */
export function whyNone(technology: Technology): string | undefined {
  return FINDERS[technology]().why;
}
