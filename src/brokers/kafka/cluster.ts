import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../core/clock.ts";
import { createConnection, type Api, type Package, type RawConnection } from "./client.ts";
import { closedError, isTransient, kafkaError, notConnected, responseOf } from "./errors.ts";
import type { KafkaAddress, KafkaSettings } from "./options.ts";
import { Together } from "./together.ts";

/** What a connection is for: requests that wait at the server get one of their own, because answers come in order. */
export type Role = "main" | "tail" | "look" | "join";

/** A topic as the cluster has it. */
export interface Topic {
  readonly name: string;
  readonly id: string;
  /** The node that leads each partition; -1: none now. */
  readonly leaders: readonly number[];
  /** How many copies there are. */
  readonly copies: number;
}

interface Place {
  /** A node's id, or an address that was given. */
  readonly key: string;
  readonly address: KafkaAddress;
  connections: Map<Role, Promise<RawConnection>>;
  /** Monotonic; no attempt to connect before it. */
  restsUntil: number;
  failures: number;
  cause: unknown;
  /** After a failure one connection at a time is tried. */
  probe: Promise<unknown> | undefined;
}

const FIRST_PAUSE_MS = 50;
const GROUP_KEY = 0;
const TRANSACTION_KEY = 1;
/** Groups of one request for their coordinators. */
const MOST_GROUPS = 1000;

/** The nodes of a cluster: connections that are made again when they are lost, and what is known of topics. Nothing is ever sent twice. */
export class Cluster {
  readonly kafka: Package;
  readonly settings: KafkaSettings;
  readonly clock: Clock;
  readonly #seeds: readonly Place[];
  readonly #nodes = new Map<number, Place>();
  readonly #topics = new Map<string, Topic>();
  readonly #coordinators = new Map<string, number>();
  readonly #finding = new Together<string, number>(MOST_GROUPS, (groups) => this.#findCoordinators(groups));
  readonly #all = new Set<RawConnection>();
  #refreshing: { readonly names: Set<string>; readonly done: Promise<void> } | undefined;
  #closed = false;

  constructor(kafka: Package, settings: KafkaSettings) {
    this.kafka = kafka;
    this.settings = settings;
    this.clock = settings.clock;
    this.#seeds = settings.nodes.map((address) => place(`${address.host}:${address.port}`, address));
  }

  /** True while a connection for commands stands. */
  get isConnected(): boolean {
    for (const connection of this.#all) if (connection.isConnected()) return true;
    return false;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Ids of the nodes that are known. */
  get nodes(): readonly number[] {
    return [...this.#nodes.keys()];
  }

  topic(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  /** The node that leads a partition, or undefined when nobody knows. */
  leader(topic: string, partition: number): number | undefined {
    const leader = this.#topics.get(topic)?.leaders[partition];
    return leader === undefined || leader < 0 ? undefined : leader;
  }

  forget(topic: string): void {
    this.#topics.delete(topic);
  }

  /** One request to one node. Rejects with the client's own errors, and with `NOT_CONNECTED` while there is no connection. */
  async call<A extends unknown[], R>(node: number, role: Role, api: Api<A, R>, ...args: A): Promise<R> {
    const found = this.#nodes.get(node);
    if (found === undefined) throw notConnected();
    return api.async(await this.#connection(found, role), ...args);
  }

  /** As {@link call}; when the connection stands, it is written before this returns. */
  callNow<A extends unknown[], R>(node: number, api: Api<A, R>, ...args: A): Promise<R> {
    const standing = this.#standing(node);
    return standing === undefined ? this.call(node, "main", api, ...args) : api.async(standing, ...args);
  }

  /** One request to whichever node answers. */
  async any<A extends unknown[], R>(api: Api<A, R>, ...args: A): Promise<R> {
    let cause: unknown;
    for (const candidate of this.#candidates()) {
      let connection: RawConnection;
      try {
        connection = await this.#connection(candidate, "main");
      } catch (error) {
        cause = error;
        continue;
      }
      return api.async(connection, ...args);
    }
    throw cause ?? notConnected();
  }

  /** The node that keeps the places of a group. Rejects as {@link call} does. */
  coordinator(group: string): Promise<number> {
    const known = this.#coordinators.get(group);
    return known === undefined ? this.#finding.get(group) : Promise.resolve(known);
  }

  /** The node that looks after a transactional id, asked for. Rejects as {@link call} does. */
  async transactionCoordinator(id: string): Promise<number> {
    const { coordinators } = await this.any(this.kafka.findCoordinatorV4.api, TRANSACTION_KEY, [id]);
    const [found] = coordinators;
    if (found === undefined) throw notConnected();
    this.#know(found.nodeId, found);
    return found.nodeId;
  }

  knownCoordinator(group: string): number | undefined {
    return this.#coordinators.get(group);
  }

  forgetCoordinator(group: string): void {
    this.#coordinators.delete(group);
  }

  /** What several ask in one turn is asked once. `question` names it. */
  asOne<T>(question: string, ask: () => Promise<T>): Promise<T> {
    const asked = this.#asked.get(question);
    if (asked !== undefined) return asked as Promise<T>;
    const answer = turn().then(() => {
      this.#asked.delete(question);
      return ask();
    });
    this.#asked.set(question, answer);
    return answer;
  }

  readonly #asked = new Map<string, Promise<unknown>>();

  /** Asks again how some topics stand; those that do not exist are forgotten. Calls that come meanwhile share an answer. */
  refresh(names: readonly string[]): Promise<void> {
    const waiting = this.#refreshing;
    if (waiting !== undefined) {
      for (const name of names) waiting.names.add(name);
      return waiting.done;
    }
    const asked = new Set(names);
    const done = Promise.resolve().then(() => {
      this.#refreshing = undefined;
      return this.#ask([...asked]);
    });
    this.#refreshing = { names: asked, done };
    return done;
  }

  /** Names of all topics that begin so. */
  async list(prefix: string): Promise<readonly string[]> {
    const answer = await this.any(this.kafka.metadataV12.api, null, false, false);
    return answer.topics.flatMap(({ name }) => (name?.startsWith(prefix) === true ? [name] : []));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#all].map((connection) => connection.close()));
  }

  async #findCoordinators(groups: readonly string[]): Promise<ReadonlyMap<string, number>> {
    let answer: Awaited<ReturnType<Package["findCoordinatorV4"]["api"]["async"]>>;
    try {
      answer = await this.any(this.kafka.findCoordinatorV4.api, GROUP_KEY, [...groups]);
    } catch (error) {
      const response = responseOf(error) as typeof answer | undefined;
      if (response === undefined || response.coordinators.every(({ errorCode }) => errorCode !== 0))
        throw error;
      answer = response;
    }
    const found = new Map<string, number>();
    for (const coordinator of answer.coordinators) {
      if (coordinator.errorCode !== 0) continue;
      this.#know(coordinator.nodeId, coordinator);
      this.#coordinators.set(coordinator.key, coordinator.nodeId);
      found.set(coordinator.key, coordinator.nodeId);
    }
    return found;
  }

  async #ask(names: readonly string[]): Promise<void> {
    let answer: Awaited<ReturnType<Package["metadataV12"]["api"]["async"]>>;
    try {
      answer = await this.any(this.kafka.metadataV12.api, [...names], false, false);
    } catch (error) {
      // A topic that does not exist is an error of the client, which brings the answer along.
      const response = (error as { response?: typeof answer }).response;
      if (response === undefined) throw error;
      answer = response;
    }
    for (const broker of answer.brokers) this.#know(broker.nodeId, broker);
    for (const { name, topicId, errorCode, partitions } of answer.topics) {
      if (name === null || name === undefined) continue;
      if (errorCode === 0) {
        const leaders: number[] = [];
        for (const { partitionIndex, leaderId } of partitions) leaders[partitionIndex] = leaderId;
        this.#topics.set(name, {
          name,
          id: topicId,
          leaders,
          copies: partitions[0]?.replicaNodes.length ?? 1,
        });
      } else if (errorCode === 3 || !isTransient(errorCode)) this.#topics.delete(name);
    }
  }

  #know(id: number, { host, port }: KafkaAddress): void {
    const known = this.#nodes.get(id);
    if (known !== undefined && known.address.host === host && known.address.port === port) return;
    this.#nodes.set(id, place(String(id), { host, port }));
  }

  /** Those that are connected first, those that rest last. */
  #candidates(): readonly Place[] {
    const nodes = [...this.#nodes.values()];
    const isNode = ({ address }: Place): boolean =>
      nodes.some((node) => node.address.host === address.host && node.address.port === address.port);
    const all = [...nodes, ...this.#seeds.filter((seed) => !isNode(seed))];
    const rank = ({ connections, restsUntil }: Place): number =>
      connections.has("main") ? 0 : restsUntil <= this.clock.monotonic() ? 1 : 2;
    return all.toSorted((a, b) => rank(a) - rank(b));
  }

  #standing(node: number): RawConnection | undefined {
    for (const connection of this.#all)
      if (connection.isConnected() && connection.context === `${node}/main`) return connection;
    return undefined;
  }

  #connection(target: Place, role: Role): Promise<RawConnection> {
    if (this.#closed) return Promise.reject(closedError());
    const known = target.connections.get(role);
    if (known !== undefined) return known;
    if (target.restsUntil > this.clock.monotonic()) return Promise.reject(notConnected(target.cause));
    const made =
      target.failures > 0 && target.probe !== undefined
        ? this.#behind(target, role)
        : this.#connect(target, role);
    target.connections.set(role, made);
    return made;
  }

  async #behind(target: Place, role: Role): Promise<RawConnection> {
    try {
      await target.probe;
    } catch (error) {
      target.connections.delete(role);
      throw error;
    }
    return this.#connect(target, role);
  }

  async #connect(target: Place, role: Role): Promise<RawConnection> {
    const { settings } = this;
    const waits = role === "join" ? settings.sessionTimeoutMs * 3 : 0;
    const connection = createConnection(this.kafka, settings, {
      host: target.address.host,
      requestTimeoutMs: settings.requestTimeoutMs + waits,
      name: `${target.key}/${role}`,
    });
    let connectedAt: number | undefined;
    const lost = (): void => {
      if (!this.#all.delete(connection)) return;
      target.connections.delete(role);
      if (connectedAt === undefined) return;
      // Who is let in and thrown out at once must not knock without a pause.
      if (this.clock.monotonic() - connectedAt < settings.maxReconnectMs) this.#rest(target);
      else target.failures = 0;
    };
    // Without a listener an error would be thrown.
    connection.on("error", lost);
    connection.on("close", lost);
    this.#all.add(connection);
    const probe = Promise.resolve(connection.connect(target.address.host, target.address.port));
    target.probe = probe;
    try {
      await probe;
    } catch (error) {
      lost();
      target.probe = undefined;
      target.cause = error;
      this.#rest(target);
      throw kafkaError(error);
    }
    connectedAt = this.clock.monotonic();
    target.probe = undefined;
    if (this.#closed) {
      await connection.close();
      throw closedError();
    }
    return connection;
  }

  /** Half of the pause is by chance: clients that were cut off together do not come back together. */
  #rest(target: Place): void {
    const bound = Math.min(
      this.settings.maxReconnectMs,
      FIRST_PAUSE_MS * 2 ** Math.min(++target.failures, 20),
    );
    target.restsUntil = this.clock.monotonic() + bound * (0.5 + Math.random() / 2);
  }
}

function place(key: string, address: KafkaAddress): Place {
  return {
    key,
    address,
    connections: new Map(),
    restsUntil: -Infinity,
    failures: 0,
    cause: undefined,
    probe: undefined,
  };
}
