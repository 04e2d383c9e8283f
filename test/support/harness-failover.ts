import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { FailoverBroker } from "../../src/brokers/failover/broker.ts";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { MemoryBroker } from "../../src/brokers/memory/broker.ts";
import type { Broker } from "../../src/core/broker.ts";
import { systemClock, type Clock } from "../../src/core/clock.ts";
import { HeraldError } from "../../src/core/errors.ts";
import { MessagingService } from "../../src/service/service.ts";
import { MemoryInbox } from "../../src/stores/memory-inbox.ts";
import { BrokerWrapper } from "../../src/core/broker-wrapper.ts";
import type { FailoverKind, Harness, PrimaryControl } from "../../src/testing/conformance/harness.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { failoverAt, QUICK } from "./child-failover.ts";
import { DEDUPE_WINDOW_MS as REDIS_WINDOW_MS, redisAt } from "./child-redis.ts";
import type { TestServer } from "./servers/redis.ts";
import { StagedServer } from "./staged-server.ts";

const DEDUPE_WINDOW_MS = 120_000;

/** Two memory brokers as one, on one clock. */
function twoMemories(clock: Clock | undefined): FailoverBroker {
  const memory = { dedupeWindowMs: DEDUPE_WINDOW_MS, ...(clock === undefined ? {} : { clock }) };
  return new FailoverBroker({
    primary: new MemoryBroker(memory),
    fallback: new MemoryBroker(memory),
    ...(clock === undefined ? {} : { clock }),
  });
}

/** A fallback that several failover brokers of this process share: opened once, closed with none of them. */
class SharedFallback extends BrokerWrapper {
  readonly #opened: { capabilities?: ReturnType<Broker["open"]> };

  constructor(inner: Broker, opened: { capabilities?: ReturnType<Broker["open"]> }) {
    super(inner);
    this.#opened = opened;
  }

  override open() {
    return (this.#opened.capabilities ??= this.inner.open());
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}

/** What a stage is made of, in the place of what it is made of by default. */
interface StageParts {
  readonly server?: StagedServer;
  /** A client of the primary; default: of the staged server. `isCutOff`: it reaches nothing. */
  readonly primary?: (isCutOff: boolean) => Broker;
}

/** A staged server and what its clients fall back to, one of each for a place. */
class Stage {
  readonly server: StagedServer;
  readonly #primary: (isCutOff: boolean) => Broker;
  readonly #fallback = new MemoryBroker({ dedupeWindowMs: DEDUPE_WINDOW_MS });
  readonly #inbox = new MemoryInbox({});
  readonly #opened = {};

  constructor({ server = new StagedServer(), primary }: StageParts = {}) {
    this.server = server;
    this.#primary = primary ?? ((isCutOff) => (isCutOff ? awayServer() : server).client());
  }

  make(kind: FailoverKind): FailoverBroker {
    const own = { broker: new MemoryBroker(), inbox: new MemoryInbox({}), opened: {} };
    const side =
      kind === "neighbour" ? own : { broker: this.#fallback, inbox: this.#inbox, opened: this.#opened };
    const fallback = Object.assign(new SharedFallback(side.broker, side.opened), {
      createInbox: () => side.inbox,
    });
    return new FailoverBroker({
      ...QUICK,
      primary: this.#primary(kind === "cutOff"),
      fallback,
      durability: kind === "journal" ? "journal" : "primary",
    });
  }
}

function awayServer(): StagedServer {
  const away = new StagedServer();
  void away.kill();
  return away;
}

/** The primary of stages that are made by `make`, one for a place. */
function stagedPrimary(make: () => Stage): PrimaryControl {
  let latest: { readonly place: string; readonly stage: Stage } | undefined;
  // Cases run one after another, so that only the latest is kept.
  const stageOf = (place: string): Stage => {
    if (latest?.place !== place) latest = { place, stage: make() };
    return latest.stage;
  };
  const current = (): StagedServer => {
    if (latest === undefined) throw new HeraldError("NOT_FOUND", "No case has made a broker yet.");
    return latest.stage.server;
  };
  return {
    kill: () => current().kill(),
    start: () => current().start(),
    pause: () => current().pause(),
    resume: () => current().resume(),
    empty: () => current().empty(),
    copy: () => current().copy(),
    broker: (kind, { place }) => controlled(stageOf(place).make(kind)),
  };
}

function controlled(broker: FailoverBroker): ReturnType<PrimaryControl["broker"]> {
  return { broker, control: broker.control };
}

/** Failover between two memory brokers: every rule of failover, at the speed of memory, on a stepped clock. */
export const failoverMemoryHarness: Harness = {
  name: "failover(memory, memory)",
  create: ({ clock }) => twoMemories(clock),
  createService: (options) => new MessagingService(options),
  createInbox: (options) => new MemoryInbox(options),
  clock: () => new FakeClock(),
  dedupeWindowMs: DEDUPE_WINDOW_MS,
  primary: stagedPrimary(() => new Stage()),
};

/** Failover from files to memory: the files behind a staged server, because nothing else can take them away from their process. */
export function failoverFileMemoryHarness(): Harness {
  const root = scratchRoot();
  let stores = 0;
  const files = () =>
    new FileBroker({
      directory: path.join(root, `store-${++stores}`),
      leaseMs: 1500,
      dedupeWindowMs: DEDUPE_WINDOW_MS,
    });
  const { clock: _stepped, ...inRealTime } = failoverMemoryHarness;
  return {
    ...inRealTime,
    name: "failover(file, memory)",
    create: () =>
      new FailoverBroker({
        primary: files(),
        fallback: new MemoryBroker({ dedupeWindowMs: DEDUPE_WINDOW_MS }),
      }),
    scale: 0.1,
    primary: stagedPrimary(() => new Stage({ server: new StagedServer(systemClock, files) })),
  };
}

/** Failover from a Redis of its own to memory. The server must stand before the first case. */
export function failoverRedisMemoryHarness(server: () => TestServer): Harness {
  const stages = new Map<string, Stage>();
  const stageOf = (place: string): Stage => {
    const primary = (isCutOff: boolean) => redisAt(place, isCutOff ? NOWHERE : server().address);
    const stage = stages.get(place) ?? new Stage({ primary });
    stages.set(place, stage);
    return stage;
  };
  return {
    name: "failover(redis, memory)",
    create: ({ place }) => stageOf(place).make("plain"),
    createService: (options) => new MessagingService(options),
    dedupeWindowMs: REDIS_WINDOW_MS,
    scale: 0.02,
    patienceMs: 20_000,
    primary: {
      ...controlOf(server),
      broker: (kind, { place }) => controlled(stageOf(place).make(kind)),
    },
  };
}

/** Nothing listens there. */
const NOWHERE = { host: "127.0.0.1", port: 1 };

/**
 * Failover from a Redis of its own to files, as the conformance suite takes it. In real time. The server must stand before
 * the first case; its folder goes with it.
 */
export function failoverHarness(server: () => TestServer): Harness {
  const root = scratchRoot();
  const directoryOf = (place: string) => path.join(root, place);
  let neighbours = 0;
  return {
    name: "failover(redis, file)",
    create: ({ place, address, longLeases }) =>
      failoverAt(
        { place, directory: directoryOf(place), leases: longLeases === true ? "long" : "short" },
        address ?? server().address,
      ),
    createService: (options) => new MessagingService(options),
    get child() {
      return new URL(
        `./child-failover.ts?port=${server().port}&root=${encodeURIComponent(root)}`,
        import.meta.url,
      );
    },
    dedupeWindowMs: REDIS_WINDOW_MS,
    scale: 0.02,
    patienceMs: 20_000,
    primary: {
      ...controlOf(server),
      broker(kind, { place }) {
        const directory = directoryOf(kind === "neighbour" ? `${place}-n${++neighbours}` : place);
        const address = kind === "cutOff" ? NOWHERE : server().address;
        const durability = kind === "journal" ? "journal" : "primary";
        return controlled(failoverAt({ place, directory }, address, { durability }));
      },
    },
  };
}

function controlOf(server: () => TestServer): Omit<PrimaryControl, "broker"> {
  return {
    kill: () => server().kill(),
    start: () => server().start(),
    pause: () => server().pause(),
    resume: () => server().resume(),
    empty: async () => void (await server().command("FLUSHALL")),
    copy: async () => copyOf(server().folder),
  };
}

/** A folder that goes with this process. */
function scratchRoot(): string {
  const root = mkdtempSync(path.join(tmpdir(), "herald-failover-"));
  process.once("exit", () => rmSync(root, { recursive: true, force: true }));
  return root;
}

/** A copy of a server's folder; calling the result puts it in the place of what is there. */
function copyOf(folder: string): () => Promise<void> {
  const copy = mkdtempSync(path.join(tmpdir(), "herald-copy-"));
  cpSync(folder, copy, { recursive: true });
  return async () => {
    rmSync(folder, { recursive: true });
    cpSync(copy, folder, { recursive: true });
    rmSync(copy, { recursive: true });
  };
}
