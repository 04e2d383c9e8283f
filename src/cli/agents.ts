import type { Broker } from "../core/broker.ts";
import { describeThrown, HeraldError, isHeraldError } from "../core/errors.ts";
import { brokerOf } from "../service/broker-url.ts";
import { loadAgents, type LoadedAgent } from "../service/load-agents.ts";
import type { MessagingServiceOptions } from "../service/options.ts";
import type { Routing } from "../service/routes/routing.ts";
import { MessagingService } from "../service/service.ts";
import type { ConsumerLag } from "../service/stats.ts";
import { accountOf, type Account } from "./account.ts";
import { Activity, untilIdle, type IdleResult } from "./activity.ts";
import { urlOf, type Connection } from "./connection.ts";
import { EXIT } from "./exit-codes.ts";
import { failureOf } from "./failure.ts";
import type { Session } from "./session.ts";
import { count } from "./text.ts";

/** The agent id under which the command line publishes and asks. */
export const OPERATOR = "herald-cli";

/** How long a handler may go on when its agent is stopped. */
const GRACE_MS = 10_000;
const HURRIED_GRACE_MS = 1000;

/** What the command line wants of its agents. */
export interface StartOptions {
  /** What the command line itself may publish, with its schemas. */
  readonly publishes?: (
    agents: readonly LoadedAgent[],
  ) => readonly { readonly channel: string; readonly schema?: unknown }[];
  /** Runs when the agents listen and none of them has begun an activity of its own. */
  readonly beforeActivity?: (agents: InProcessAgents) => Promise<void>;
}

/**
 * Agents that run in this process, with the command line's own service beside them, all on one broker. There may be none:
 * then the command talks to those that run elsewhere.
 */
export class InProcessAgents {
  readonly agents: readonly LoadedAgent[];
  /** The command line's own service. */
  readonly operator: MessagingService;
  readonly activity: Activity;
  readonly broker: Broker;
  readonly #session: Session;
  readonly #startedAt = performance.now();
  #failure: unknown;
  #graceMs = GRACE_MS;
  #drained: Promise<void> | undefined;

  constructor(
    session: Session,
    parts: {
      readonly agents: readonly LoadedAgent[];
      readonly operator: MessagingService;
      readonly activity: Activity;
      readonly broker: Broker;
    },
  ) {
    this.#session = session;
    this.agents = parts.agents;
    this.operator = parts.operator;
    this.activity = parts.activity;
    this.broker = parts.broker;
  }

  get services(): MessagingService[] {
    return [...this.agents.map(({ agent }) => agent), this.operator];
  }

  get names(): string[] {
    return this.agents.map(({ agent }) => agent.agentId);
  }

  /** The groups that these agents read in, so that it can be told what they leave waiting. */
  get groups(): ReadonlySet<string> {
    const subscribed = this.agents.flatMap(({ agent }) =>
      agent.listSubscriptions().map(({ group }) => group),
    );
    return new Set([...this.names, ...subscribed.filter((group) => group !== null)]);
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** What happened so far, by channel. */
  account(): Account {
    return accountOf(this.services);
  }

  /** Starts every service; rejects with the first error. */
  async start(): Promise<void> {
    for (const service of this.services) await service.start();
  }

  /** Begins the agents' own activities. One that fails ends the command with its error. */
  begin(): void {
    for (const { agent, started } of this.agents) {
      void this.activity.track(started).catch((error: unknown) => {
        this.#failure ??= agentFailed(error, `The activity of agent '${agent.agentId}' ended with an error`);
        this.#session.interrupt.end(failureOf(this.#failure).exit);
      });
    }
  }

  /** Resolves when nothing waits and nothing runs, `timeoutMs` are over, or the command was interrupted. */
  untilIdle(timeoutMs?: number): Promise<IdleResult> {
    const { signal } = this.#session.interrupt;
    return untilIdle({
      activity: this.activity,
      lag: () => this.#lag(),
      signal,
      timeoutMs,
    });
  }

  /** They had their time: whoever still works when they are stopped gets a second and no more. */
  hurry(): void {
    this.#graceMs = HURRIED_GRACE_MS;
  }

  /**
   * Lets running handlers end and stops the agents; the command line's own service goes on. What could not be finished is
   * said on stderr. Once is enough.
   */
  drain(): Promise<void> {
    return (this.#drained ??= this.#drain());
  }

  /** Drains and stops everything; rejects with the error of an activity that failed. */
  async stop(): Promise<void> {
    await this.drain();
    await this.#stop(this.operator);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #drain(): Promise<void> {
    const { output } = this.#session;
    const aborted = sum(await Promise.all(this.agents.map(({ agent }) => this.#stop(agent))));
    const waiting = this.operator.isRunning ? sum((await this.#lag()).map(({ lag }) => lag ?? 0)) : 0;
    if (aborted > 0)
      output.note(`${count(aborted, "handler")} did not end within the grace period and had to be cut off.`);
    if (waiting > 0) output.note(`${count(waiting, "message")} had not been handled; ${this.#fate()}.`);
  }

  #fate(): string {
    return this.operator.broker.capabilities.durability === "none"
      ? "a memory broker forgets them"
      : "they wait on the broker for the next start";
  }

  /** Of the groups of these agents: what waits for others is not theirs to do. */
  async #lag(): Promise<readonly ConsumerLag[]> {
    const { groups } = this;
    return (await this.operator.getConsumerLag()).filter(({ group }) => groups.has(group));
  }

  #stop(service: MessagingService): Promise<number> {
    return service.stop({ gracePeriodMs: this.#graceMs });
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/**
 * Loads the manifests and starts their agents in this process, runs the work and stops the agents whatever came of it.
 * Rejects with what the URL, loading, starting or the work rejects with.
 */
export async function withAgents<T>(
  session: Session,
  connection: Connection,
  options: StartOptions,
  work: (agents: InProcessAgents) => Promise<T>,
): Promise<T> {
  const running = await load(session, connection, options);
  const disarm = session.interrupt.arm(() =>
    session.output.note(
      running.agents.length > 0
        ? "Stopping: running handlers may finish. Ctrl-C again ends at once."
        : "Stopping. Ctrl-C again ends at once.",
    ),
  );
  try {
    await startAll(running, options);
    return await work(running);
  } finally {
    await running.stop().finally(disarm);
  }
}

async function startAll(running: InProcessAgents, options: StartOptions): Promise<void> {
  try {
    await running.start();
    await options.beforeActivity?.(running);
  } catch (error) {
    throw agentFailed(error, "An agent could not be started");
  }
  running.begin();
}

async function load(
  session: Session,
  connection: Connection,
  options: StartOptions,
): Promise<InProcessAgents> {
  const broker = brokerOf(urlOf(connection));
  const logger = await session.logger();
  const routing = await rulesOf(connection);
  let agents: readonly LoadedAgent[];
  try {
    agents = await loadAgents(connection.manifest, { broker, logger, ...routing });
  } catch (error) {
    throw agentFailed(error, "The module of an agent could not be loaded");
  }
  const activity = new Activity();
  for (const { agent } of agents) agent.use(activity.middleware);
  const publishes = options.publishes?.(agents) ?? [];
  const messaging = { publishes, subscribes: [], commands: [], reliability: {} } as NonNullable<
    MessagingServiceOptions["messaging"]
  >;
  const operator = new MessagingService({
    agentId: OPERATOR,
    messaging,
    broker,
    logger,
    dlq: { enabled: false },
    strict: false,
    ...routing,
  });
  operator.use(activity.middleware);
  return new InProcessAgents(session, { agents, operator, activity, broker });
}

async function rulesOf({ routing = [] }: Connection): Promise<{ readonly routing?: Routing }> {
  return routing.length === 0 ? {} : { routing: await (await import("./routing.ts")).routingOf(routing) };
}

/** What an agent's own code threw is no bug of this program: it says where it came from. */
function agentFailed(error: unknown, what: string): unknown {
  if (isHeraldError(error)) return error;
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const frame = stack
    .split("\n")
    .find((line) => line.includes("file://") || /^\s*at .*\(?\//.test(line) || /^\/.*:\d+$/.test(line));
  const why =
    frame === undefined
      ? "The agent's own code threw it."
      : `It was thrown ${frame.trim().replace(/^(?!at )/, "at ")}.`;
  return new HeraldError("AGENT_FAILED", `${what}: ${describeThrown(error)}`, {
    cause: error,
    details: { exit: EXIT.failed, why, hint: "Correct the agent's module; its code is run as it stands." },
  });
}
