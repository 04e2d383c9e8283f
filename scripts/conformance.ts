import { parseArgs } from "node:util";
import { formatReport } from "../src/testing/conformance/report.ts";
import { runConformance } from "../src/testing/conformance/run.ts";
import type { Harness } from "../src/testing/conformance/harness.ts";
import { bullmqHarness } from "../test/support/harness-bullmq.ts";
import { failoverHarness, failoverMemoryHarness } from "../test/support/harness-failover.ts";
import { EMULATED, type EmulatedName } from "../test/support/emulated.ts";
import { emulateFileHarness, emulateMemoryHarness } from "../test/support/harness-emulate.ts";
import { fileHarness } from "../test/support/harness-file.ts";
import { hybridFilesHarness, hybridMemoryHarness } from "../test/support/harness-hybrid.ts";
import {
  failoverNatsFileHarness,
  failoverRabbitFileHarness,
} from "../test/support/harness-failover-files.ts";
import { natsHarness } from "../test/support/harness-nats.ts";
import { startNats } from "../test/support/servers/nats.ts";
import { kafkaHarness } from "../test/support/harness-kafka.ts";
import { redisHarness } from "../test/support/harness-redis.ts";
import { memoryHarness } from "../test/support/harness.ts";
import { startKafka } from "../test/support/servers/kafka.ts";
import type { ServerHandle } from "../test/support/servers/handle.ts";
import { rabbitHarness } from "../test/support/harness-rabbitmq.ts";
import { startRabbit } from "../test/support/servers/rabbitmq.ts";
import { startRedis } from "../test/support/servers/redis.ts";

/**
 * The harness of a broker over a server: one that is started for the run and goes with this process, or a person's own by
 * `HERALD_TEST_<NAME>_URL`, of which nothing is killed, stopped or taken away.
 */
async function over<S extends ServerHandle>(
  name: "REDIS" | "NATS" | "KAFKA" | "RABBITMQ",
  start: () => Promise<S>,
  make: (server: () => S) => Harness,
): Promise<Harness> {
  const url = process.env[`HERALD_TEST_${name}_URL`];
  if (url === undefined) {
    const server = await start();
    return make(() => server);
  }
  const { hostname: host, port } = new URL(url);
  const address = { host, port: Number(port) };
  if (host === "" || port === "") fail(`HERALD_TEST_${name}_URL must name host and port, not '${url}'.`);
  const {
    server: _killed,
    operator: _operator,
    primary,
    ...harness
  } = make(() => ({ url, address, port: address.port }) as S);
  if (primary !== undefined)
    fail(`HERALD_TEST_${name}_URL cannot be used for failover, whose cases kill the server.`);
  return harness;
}

/** `emulate-delay`: the wrapper around a memory broker; `emulate-delay-file`: around a file broker. */
function emulations(): Record<string, () => Harness> {
  const names = Object.keys(EMULATED) as EmulatedName[];
  return Object.fromEntries(
    names.flatMap((name) => [
      [`emulate-${name}`, () => emulateMemoryHarness(name)],
      [`emulate-${name}-file`, () => emulateFileHarness(name)],
    ]),
  );
}

/** Every broker that can be held to the suite, by the name it is asked for. */
const HARNESSES: Readonly<Record<string, () => Harness | Promise<Harness>>> = {
  memory: () => memoryHarness,
  "failover-memory": () => failoverMemoryHarness,
  failover: () => over("REDIS", startRedis, failoverHarness),
  bullmq: () => over("REDIS", startRedis, bullmqHarness),
  file: () => fileHarness,
  ...emulations(),
  hybrid: () => hybridFilesHarness,
  "hybrid-memory": () => hybridMemoryHarness,
  nats: () => over("NATS", startNats, natsHarness),
  "failover-nats": () => over("NATS", startNats, failoverNatsFileHarness),
  "failover-rabbitmq": () => over("RABBITMQ", startRabbit, failoverRabbitFileHarness),
  redis: () => over("REDIS", startRedis, redisHarness),
  kafka: () => over("KAFKA", startKafka, kafkaHarness),
  rabbitmq: () => over("RABBITMQ", startRabbit, rabbitHarness),
};

const USAGE = `Usage: npm run conformance -- <broker> [--json] [--only <id>] [--seed <number>]

Holds a broker to the conformance suite. Brokers: ${Object.keys(HARNESSES).join(", ")}
  --json           one document on stdout: { broker, passed, failed, notApplicable, cases, abilities, traits, seed }
  --only <id>      only cases whose id starts so
  --seed <number>  repeats the random choices of a run
HERALD_TEST_REDIS_URL, HERALD_TEST_NATS_URL, HERALD_TEST_KAFKA_URL and HERALD_TEST_RABBITMQ_URL name a server of your own: its channels get names that nobody uses, and
cases that kill or stop a server do not apply. Without them one is started.
Exit code 1 when a case fails, 2 for a wrong call.
`;

function fail(message: string): never {
  process.stderr.write(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        only: { type: "string", default: "" },
        seed: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return fail((error as Error).message);
  }
}

const { values, positionals } = parse();
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const [name = "", ...rest] = positionals;
const make = Object.hasOwn(HARNESSES, name) ? HARNESSES[name] : undefined;
if (make === undefined || rest.length > 0)
  fail(name === "" ? "Name a broker." : `There is no broker '${positionals.join(" ")}'.`);
const seed = values.seed === undefined ? undefined : Number(values.seed);
if (seed !== undefined && !Number.isSafeInteger(seed))
  fail(`--seed must be a whole number, not '${values.seed}'.`);

const harness = await make();
const report = await runConformance(seed === undefined ? harness : { ...harness, seed }, {
  only: (id) => id.startsWith(values.only),
  onResult({ case: id, status, durationMs, error }) {
    if (values.json)
      process.stderr.write(`${status} ${id} (${durationMs} ms)${error === undefined ? "" : `: ${error}`}\n`);
  },
});
process.stdout.write(`${values.json ? JSON.stringify(report) : formatReport(report)}\n`);
// A selection that holds no case proves nothing.
process.exit(report.failed > 0 || report.cases.length === 0 ? 1 : 0);
