import { emit } from "../../core/events.ts";
import type { Cluster } from "./cluster.ts";
import { codesOf, KAFKA, kafkaError, mayAskAgain, responseOf, wasAnswered } from "./errors.ts";
import { decodeAll, encodeAll, Members, type MemberInfo } from "./members.ts";
import { membersGroup } from "./names.ts";
import type { Statements } from "./statements.ts";

/** What the membership needs of its broker. */
export interface MembershipHost {
  /** What this process says of itself now. */
  info(): MemberInfo;
  /** All have agreed on who is there. */
  agreed(members: Members): void;
  /** For all that the others know this process is dead: nothing that it handles is its own any more. */
  disowned(): void;
}

interface Standing {
  readonly memberId: string;
  readonly generation: number;
}

type JoinAnswer = Awaited<ReturnType<Cluster["kafka"]["joinGroupV9"]["api"]["async"]>>;

const PROTOCOL_TYPE = "herald";
const PROTOCOL = "herald-2";
const RETRY_MS = 50;

/**
 * The processes of a namespace find each other in one Kafka group, in the way in which Kafka Connect's workers do: each says what it
 * subscribes to and what it handles, and all are told the same. A process that is silent for its session is left out.
 */
export class Membership {
  readonly #cluster: Cluster;
  readonly #host: MembershipHost;
  readonly #statements: Statements;
  readonly #group: string;
  #standing: Standing | undefined;
  #memberId = "";
  #members: Members | undefined;
  /** Monotonic time of the last answer that said that we are one of them. */
  #heardAt = 0;
  #wantsRejoin = false;
  #isJoining = false;
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(cluster: Cluster, statements: Statements, host: MembershipHost) {
    this.#cluster = cluster;
    this.#statements = statements;
    this.#host = host;
    this.#group = membersGroup(cluster.settings.namespace);
  }

  /** What was agreed on last, while it holds. */
  get members(): Members | undefined {
    return this.#members;
  }

  /** True while this process has said what it has and the others may not have heard it. */
  get isJoining(): boolean {
    return this.#isJoining;
  }

  /** Joins, if it has not. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when all have agreed for the first time; or after a session, for who waits does not wait for ever. */
  async joined(): Promise<void> {
    this.start();
    if (this.#members !== undefined || this.#closed) return;
    await new Promise<void>((resolve) => {
      const timer = this.#cluster.clock.setTimer(this.#cluster.settings.sessionTimeoutMs, resolve);
      this.#waiting.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #waiting: (() => void)[] = [];

  /** Says again what this process has and handles. */
  rejoin(): void {
    this.#wantsRejoin = true;
    this.start();
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    for (const resolve of this.#waiting.splice(0)) resolve();
    await this.#running;
    if (this.#memberId === "") return;
    try {
      // With Kafka gone nobody is to wait for it.
      void this.#statements.close().catch(() => undefined);
      const node = await this.#cluster.coordinator(this.#group);
      const leaving = [{ memberId: this.#memberId, groupInstanceId: null, reason: "closed" }];
      await this.#cluster.call(node, "main", this.#cluster.kafka.leaveGroupV5.api, this.#group, leaving);
    } catch {
      // It is left out when its session ends.
    }
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        if (this.#standing === undefined || this.#wantsRejoin) await this.#join();
        else await this.#beat();
      } catch (error) {
        if (!this.#failed(error)) await this.#pause(RETRY_MS);
        continue;
      }
      await this.#pause(
        this.#wantsRejoin || this.#standing === undefined ? 0 : this.#cluster.settings.heartbeatMs,
      );
    }
  }

  /** True when it may be tried again at once. */
  #failed(error: unknown): boolean {
    const codes = codesOf(error);
    if (codes.includes(KAFKA.MEMBER_ID_REQUIRED)) {
      this.#memberId = (responseOf(error) as JoinAnswer | undefined)?.memberId ?? "";
      return true;
    }
    if (codes.includes(KAFKA.UNKNOWN_MEMBER_ID) || codes.includes(KAFKA.ILLEGAL_GENERATION)) {
      // They have gone on without us.
      if (codes.includes(KAFKA.UNKNOWN_MEMBER_ID)) this.#memberId = "";
      this.#disown();
    } else if (codes.includes(KAFKA.REBALANCE_IN_PROGRESS)) this.#wantsRejoin = true;
    else {
      this.#cluster.forgetCoordinator(this.#group);
      // What Kafka refuses is not over by itself.
      if (wasAnswered(error) && !mayAskAgain(error))
        emit("fault", () => ({ agent: "", error: kafkaError(error), where: "kafka members" }));
    }
    if (!wasAnswered(error)) this.#doubt();
    return codes.includes(KAFKA.REBALANCE_IN_PROGRESS);
  }

  /** Nobody has said for a whole session that we are one of them: they may have gone on without us. */
  #doubt(): void {
    const { clock, settings } = this.#cluster;
    if (this.#members?.isAlone === true || this.#members === undefined) return;
    if (clock.monotonic() - this.#heardAt > settings.sessionTimeoutMs) this.#disown();
  }

  #disown(): void {
    this.#standing = undefined;
    if (this.#members === undefined) return;
    this.#members = undefined;
    this.#host.disowned();
  }

  async #join(): Promise<void> {
    this.#wantsRejoin = false;
    try {
      await this.#agree();
    } catch (error) {
      this.#wantsRejoin = true;
      throw error;
    }
  }

  async #agree(): Promise<void> {
    const { kafka, settings, clock } = this.#cluster;
    const node = await this.#cluster.coordinator(this.#group);
    this.#isJoining = true;
    const said = await this.#statements.say(this.#host.info());
    const { sessionTimeoutMs } = settings;
    const joined = await this.#cluster.call(
      node,
      "join",
      kafka.joinGroupV9.api,
      this.#group,
      sessionTimeoutMs,
      sessionTimeoutMs,
      this.#memberId,
      null,
      PROTOCOL_TYPE,
      [{ name: PROTOCOL, metadata: said }],
    );
    this.#memberId = joined.memberId;
    const synced = await this.#cluster.call(
      node,
      "join",
      kafka.syncGroupV5.api,
      this.#group,
      joined.generationId,
      joined.memberId,
      null,
      PROTOCOL_TYPE,
      PROTOCOL,
      assignmentsOf(joined),
    );
    const infos = await this.#statements.hear(decodeAll(synced.assignment));
    if (this.#closed) return;
    this.#standing = { memberId: joined.memberId, generation: joined.generationId };
    this.#heardAt = clock.monotonic();
    this.#members = new Members(joined.memberId, infos);
    this.#isJoining = false;
    this.#host.agreed(this.#members);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #beat(): Promise<void> {
    const { memberId, generation } = this.#standing as Standing;
    const sentAt = this.#cluster.clock.monotonic();
    const node = await this.#cluster.coordinator(this.#group);
    await this.#cluster.call(
      node,
      "main",
      this.#cluster.kafka.heartbeatV4.api,
      this.#group,
      generation,
      memberId,
      null,
    );
    this.#heardAt = sentAt;
  }

  #pause(ms: number): Promise<void> {
    if (this.#closed || ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#cluster.clock.setTimer(ms, resolve);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

/** The leader hands the table round, the same to all. */
function assignmentsOf({ leader, memberId, members }: JoinAnswer) {
  if (leader !== memberId) return [];
  const assignment = encodeAll(
    members.map((member) => [member.memberId, member.metadata ?? Buffer.alloc(0)]),
  );
  return members.map((member) => ({ memberId: member.memberId, assignment }));
}
