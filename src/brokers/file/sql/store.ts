import { isHeraldError, toHeraldError, type HeraldError } from "../../../core/errors.ts";
import type { Answer, Notice, Request, ThreadOptions } from "../protocol.ts";
import { Bell } from "../storage/bell.ts";
import { Append } from "./append.ts";
import { Claims } from "./claims.ts";
import { Commands } from "./commands.ts";
import { Cursors } from "./cursors.ts";
import { openDatabase, type Database } from "./database.ts";
import { storageError } from "./errors.ts";
import { Exceptions } from "./exceptions.ts";
import { Housekeeping } from "./housekeeping.ts";
import { KnownIds } from "./inbox.ts";
import { Join } from "./join.ts";
import { LookAfter } from "./look-after.ts";
import type { Group, Lane, Member } from "./model.ts";
import { Owners } from "./owners.ts";
import { Quarantine } from "./quarantine.ts";
import { Recent } from "./recent.ts";
import { Report } from "./report.ts";
import { Retention } from "./retention.ts";
import { Serve } from "./serve.ts";
import { Settle } from "./settle.ts";
import { shapeOf } from "./shape.ts";
import { Streams } from "./streams.ts";
import { Topology } from "./topology.ts";
import { mustLast, Turn } from "./turn.ts";
import type { StoreTime } from "./time.ts";

/** How long members wait after a turn that failed. */
const RETRY_MS = 100;

/**
 * A store as one process uses it. Synchronous: each turn takes what was asked, does all of it in one transaction, makes that
 * durable, and only then answers.
 */
export class Store {
  readonly #db: Database;
  readonly #time: StoreTime;
  readonly #bell: Bell;
  readonly #owners: Owners;
  readonly #topology: Topology;
  readonly #cursors: Cursors;
  readonly #claims: Claims;
  readonly #exceptions: Exceptions;
  readonly #quarantine: Quarantine;
  readonly #recent = new Recent();
  readonly #append: Append;
  readonly #settle: Settle;
  readonly #serve: Serve;
  readonly #streams: Streams;
  readonly #join: Join;
  readonly #commands: Commands;
  readonly #housekeeping: Housekeeping;
  readonly #members = new Map<number, Member>();
  /** Members that wait and may find something, in the order they are to be served. */
  readonly #candidates = new Set<Member>();
  /** Groups with members here and exceptions that wait. */
  readonly #due = new Set<Group>();
  #retryAt = 0;
  #gone: HeraldError | undefined;

  /** Opens the store; blocks. Throws a HeraldError. */
  constructor(options: ThreadOptions, time: StoreTime) {
    const db = openDatabase(options.directory);
    this.#db = db;
    this.#bell = new Bell(options.directory);
    this.#time = time;
    try {
      db.begin(true);
      const owners = (this.#owners = new Owners(db, Math.floor(time.wall())));
      this.#topology = new Topology(db, {
        grown: (lane) => this.#grown(lane),
        touched: (group) => this.#touched(group),
        changed: () => this.#changed(),
      });
      const topology = this.#topology;
      this.#cursors = new Cursors(db, topology);
      this.#claims = new Claims(db, owners.id);
      this.#exceptions = new Exceptions(db, owners.id, (group) => this.#isReady(group));
      this.#quarantine = new Quarantine(db, this.#cursors);
      const parts = {
        db,
        time,
        topology,
        owners,
        owner: owners.id,
        cursors: this.#cursors,
        claims: this.#claims,
        exceptions: this.#exceptions,
        quarantine: this.#quarantine,
        recent: this.#recent,
        members: this.#members,
        streams: (this.#streams = new Streams(db)),
        ...options,
      };
      this.#append = new Append({ ...parts, onGrown: (lane) => this.#grown(lane) });
      this.#settle = new Settle(parts);
      this.#serve = new Serve(parts);
      this.#join = new Join(parts);
      const ids = new KnownIds(db, options.dedupeWindowMs);
      const retention = new Retention(db, parts, options);
      const report = new Report(db, topology, this.#cursors);
      const lookAfter = new LookAfter(parts);
      const rest = { ids, retention, report, lookAfter, join: this.#join, settle: this.#settle };
      const settled = (member: Member): void => this.#settled(member);
      this.#commands = new Commands({ ...parts, ...rest, append: this.#append, settled });
      this.#housekeeping = new Housekeeping({ ...parts, ...rest });
      topology.refresh();
      this.#housekeeping.begin();
      topology.save();
      db.commit();
    } catch (error) {
      db.rollback();
      db.close();
      this.#bell.close();
      throw storageError(error, options.directory);
    }
  }

  /** True when the last turn has left something to be done at once. */
  get isUnfinished(): boolean {
    const hasWork = this.#candidates.size > 0 || this.#housekeeping.hasMore;
    return this.#gone === undefined && hasWork && this.#time.monotonic() >= this.#retryAt;
  }

  /** Milliseconds until something that waits here is ready; undefined: nothing waits. */
  get nextMs(): number | undefined {
    const now = this.#time.monotonic();
    let next = this.#candidates.size > 0 ? Math.max(now, this.#retryAt) : Infinity;
    for (const group of this.#due) {
      if (group.waiting.size + group.waitingWild.size === 0) continue;
      for (const at of group.due.values()) if (at > now && at < next) next = at;
    }
    return next === Infinity ? undefined : next - now;
  }

  /** Its database. */
  get database(): Pick<Database, "file" | "checkpoint"> {
    return this.#db;
  }

  /** Does what was asked, together. */
  turn(requests: readonly Request[]): Answer {
    const turn = new Turn();
    if (this.#gone !== undefined) return this.#answer(turn, requests.length, this.#gone);
    let isCommit = false;
    try {
      this.#db.begin(requests.length === 0 ? this.#db.isBehind : requests.some(mustLast));
      this.#topology.refresh();
      this.#serve.begin();
      this.#work(requests, turn);
      this.#cursors.flush();
      this.#claims.flush();
      const hasNews = this.#topology.save(requests.length === 0 && this.#db.isBehind);
      isCommit = true;
      this.#db.commit();
      if ((hasNews || this.#streams.hasNews()) && this.#owners.hasOthers) this.#bell.ring();
      this.#claims.committed();
      this.#exceptions.committed();
      this.#db.checkThere();
      return this.#answer(turn, requests.length, undefined);
    } catch (error) {
      const failure = storageError(error, this.#db.directory, isCommit);
      if (failure.code === "STORAGE_GONE") this.#gone = failure;
      this.#undo(turn);
      return this.#answer(
        new Turn(),
        requests.length,
        failure,
        [...turn.impatient].map(({ id }) => id),
      );
    }
  }

  /** Looks whether another process has written, or something has become ready; undefined: no. */
  look(): Answer | undefined {
    if (this.#gone !== undefined) return undefined;
    try {
      if (!this.#topology.isOld && !this.isUnfinished && !this.#isDue()) return undefined;
    } catch (error) {
      return this.#answer(new Turn(), 0, storageError(error, this.#db.directory));
    }
    return this.turn([]);
  }

  /** Ends leases that are over, deletes what may go. To be called a few times a second. */
  keepHouse(): Answer | undefined {
    if (this.#gone !== undefined) return undefined;
    try {
      this.#db.checkThere();
      if (!this.#housekeeping.look() && !this.#db.isBehind) return undefined;
    } catch (error) {
      const failure = storageError(error, this.#db.directory);
      if (failure.code === "STORAGE_GONE") this.#gone = failure;
      return this.#answer(new Turn(), 0, failure);
    }
    return this.turn([]);
  }

  /** Leaves the store: others need not wait for leases. Never throws. */
  close(): void {
    try {
      if (this.#gone === undefined) {
        this.#db.begin(true);
        this.#topology.refresh();
        this.#settle.abandon(() => true);
        this.#housekeeping.end();
        this.#topology.save();
        this.#db.commit();
        this.#bell.ring();
      }
    } catch {
      // Another process finds out that we are gone.
    }
    this.#db.close();
    this.#bell.close();
  }

  #work(requests: readonly Request[], turn: Turn): void {
    for (const { commands, publishes } of requests) {
      // What a command reads was published before it.
      if (commands.length > 0) this.#append.write();
      for (const { call, command } of commands) this.#command(call, () => this.#commands.run(command), turn);
      for (const block of publishes) turn.publishes.push(this.#append.append(block));
    }
    this.#append.flush();
    for (const { settles } of requests) {
      for (const block of settles) {
        const member = this.#members.get(block.member);
        if (member === undefined) continue;
        this.#settle.settle(member, block);
        this.#settled(member);
      }
    }
    for (const { wants } of requests)
      for (let at = 0; at < wants.length; at += 3)
        this.#want(wants[at] as number, wants[at + 1] as number, wants[at + 2] === 1, turn);
    this.#housekeeping.slice();
    this.#wakeDue();
    this.#streams.look();
    this.#serveAll(turn);
  }

  #settled(member: Member): void {
    if (member.wanted > 0) this.#candidates.add(member);
    else if (member.holding === 0 && !member.group.members.has(member)) this.#members.delete(member.id);
  }

  #command(call: number, run: () => unknown, turn: Turn): void {
    try {
      turn.results.push({ call, value: run() });
    } catch (error) {
      if (!isHeraldError(error)) throw error;
      turn.results.push({ call, error: shapeOf(toHeraldError(error)) });
    }
  }

  #want(id: number, count: number, isImpatient: boolean, turn: Turn): void {
    const member = this.#members.get(id);
    if (member === undefined || !member.group.members.has(member)) {
      turn.nothing.push(id);
      return;
    }
    member.wanted = count;
    member.group.wait(member);
    this.#candidates.add(member);
    // A group that was just joined may have found messages that others had put aside.
    if (member.group.due.size > 0) this.#due.add(member.group);
    if (isImpatient) turn.impatient.add(member);
  }

  #serveAll(turn: Turn): void {
    for (const member of this.#candidates) {
      if (turn.out.room === 0) break;
      if (member.wanted === 0) {
        this.#candidates.delete(member);
        continue;
      }
      const { wanted } = member;
      const given = this.#serve.take(member, turn.out);
      if (given > 0) {
        turn.served.set(member, wanted);
        this.#rest(member);
        turn.impatient.delete(member);
      } else if (!this.#serve.isUnfinished) this.#candidates.delete(member);
    }
    for (const member of turn.impatient) {
      this.#rest(member);
      turn.nothing.push(member.id);
    }
  }

  /** The member does not wait any more. */
  #rest(member: Member): void {
    member.wanted = 0;
    member.group.stopWaiting(member);
    this.#candidates.delete(member);
  }

  #answer(
    turn: Turn,
    answered: number,
    failure: HeraldError | undefined,
    nothing: readonly number[] = [],
  ): Answer {
    const notices: Notice[] = this.#quarantine.notices.splice(0);
    const error = failure === undefined ? undefined : shapeOf(failure);
    if (error !== undefined && answered === 0)
      notices.push({ event: "fault", channel: null, count: null, error });
    return {
      answered,
      results: turn.results,
      publishes: turn.publishes,
      deliveries: error === undefined ? turn.out.block() : undefined,
      nothing: error === undefined ? turn.nothing : nothing,
      notices,
      grown: error === undefined ? this.#streams.grown.splice(0) : [],
      error: answered === 0 ? undefined : error,
    };
  }

  /** A turn failed: what is stored holds, and those who wait go on waiting. */
  #undo(turn: Turn): void {
    try {
      this.#db.rollback();
      this.#quarantine.notices.length = 0;
      this.#append.forget();
      this.#streams.restore();
      this.#cursors.forgetDirty();
      this.#topology.reload();
      this.#claims.restore();
      this.#exceptions.restore();
    } catch (error) {
      this.#gone ??= storageError(error, this.#db.directory);
    }
    for (const member of this.#members.values()) member.holding = 0;
    for (const claim of this.#claims.own.values()) claim.member.holding += claim.left;
    for (const out of this.#exceptions.own.values()) out.member.holding++;
    for (const [member, wanted] of turn.served) {
      member.wanted = wanted;
      member.group.wait(member);
      this.#candidates.add(member);
    }
    for (const member of turn.impatient) this.#rest(member);
    this.#retryAt = this.#time.monotonic() + RETRY_MS;
  }

  #isDue(): boolean {
    const now = this.#time.monotonic();
    for (const group of this.#due)
      for (const [channel, at] of group.due)
        if (at <= now) for (const _member of group.waitingFor(channel)) return true;
    return false;
  }

  #wakeDue(): void {
    const now = this.#time.monotonic();
    for (const group of this.#due) {
      if (group.due.size === 0 || group.members.size === 0) this.#due.delete(group);
      for (const [channel, at] of group.due)
        if (at <= now) for (const member of group.waitingFor(channel)) this.#candidates.add(member);
    }
  }

  #isReady(group: Group): void {
    this.#topology.touch(group);
    if (group.members.size > 0) this.#due.add(group);
  }

  #grown(lane: Lane): void {
    this.#join.noteGrown(lane);
    for (const group of this.#topology.route(lane.channel))
      for (const member of group.waitingFor(lane.channel)) this.#candidates.add(member);
  }

  #touched(group: Group): void {
    if (group.members.size === 0) return;
    this.#exceptions.findAllDue(group, (id) => this.#topology.channelOf(id));
    this.#due.add(group);
  }

  #changed(): void {
    this.#recent.clear();
    this.#claims.revalidate();
    this.#exceptions.revalidate();
  }
}
