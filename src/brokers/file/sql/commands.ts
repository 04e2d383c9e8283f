import type { Command } from "../protocol.ts";
import type { Claims } from "./claims.ts";
import type { Append } from "./append.ts";
import { Commits } from "./commits.ts";
import type { Database } from "./database.ts";
import type { Exceptions } from "./exceptions.ts";
import type { Join } from "./join.ts";
import type { KnownIds } from "./inbox.ts";
import type { LookAfter } from "./look-after.ts";
import type { Group, Member } from "./model.ts";
import type { Report } from "./report.ts";
import type { Settle } from "./settle.ts";
import type { StoreTime } from "./time.ts";
import type { Streams } from "./streams.ts";
import type { Topology } from "./topology.ts";
import { KeptValues } from "./values.ts";

/** What commands need of the store. */
export interface CommandParts {
  readonly db: Database;
  readonly time: StoreTime;
  readonly topology: Topology;
  readonly join: Join;
  readonly claims: Claims;
  readonly exceptions: Exceptions;
  readonly settle: Settle;
  readonly lookAfter: LookAfter;
  readonly report: Report;
  readonly ids: KnownIds;
  readonly streams: Streams;
  readonly members: Map<number, Member>;
  readonly append: Append;
  /** Something of a member was settled. */
  readonly settled: (member: Member) => void;
}

/** Does what is rare enough to be asked for one by one. Throws a HeraldError for what cannot be done. */
export class Commands {
  readonly #parts: CommandParts;
  readonly #values: KeptValues;
  readonly #commits: Commits;

  constructor(parts: CommandParts) {
    this.#parts = parts;
    this.#values = new KeptValues(parts.db);
    this.#commits = new Commits({ ...parts, values: this.#values });
  }

  run(command: Command): unknown {
    const { time, join, members, lookAfter, report, ids, topology, streams } = this.#parts;
    switch (command.op) {
      case "subscribe":
        members.set(command.member, join.join(command));
        return undefined;
      case "unsubscribe":
        return this.#unsubscribe(command.member);
      case "endWait":
        return this.#endWait(command.member);
      case "leave":
        return this.#leave(command.client);
      case "inspect":
        return report.report(command.channels);
      case "list":
        return [...topology.channels.keys()];
      case "declare":
        return lookAfter.declare(command.channel, command.retentionMs);
      case "purge":
        return command.isRemoved ? lookAfter.remove(command.channel) : lookAfter.purge(command.channel);
      case "browse":
        return lookAfter.browse(command.channel, command.after, command.limit);
      case "erase":
        return lookAfter.erase(command.channel, command.positions);
      case "dropGroup":
        return this.#drop(command.pattern, command.group);
      case "inboxClaim":
        return ids.claim(command.scope, command.ids, command, Math.floor(time.wall()));
      case "inboxCommit":
        return ids.commit(command.scope, command.ids, Math.floor(time.wall()));
      case "inboxAbandon":
        return ids.abandon(command.scope, command.id);
      case "commit":
        return this.#commits.commit(command);
      case "valueGet":
      case "valuePut":
      case "valueDelete":
      case "valueKeys":
        return this.#values.run(command);
      default:
        return streams.run(command);
    }
  }

  #endWait(id: number): void {
    const member = this.#parts.members.get(id);
    if (member === undefined) return;
    member.wanted = 0;
    member.group.stopWaiting(member);
  }

  /** It gets nothing more; what it holds it may still settle. */
  #unsubscribe(id: number): void {
    const member = this.#parts.members.get(id);
    if (member === undefined) return;
    this.#endWait(id);
    this.#parts.join.leave(member);
    if (member.group.name === null) this.#end(member.group);
    if (member.holding === 0) this.#parts.members.delete(id);
  }

  #drop(pattern: string, group: string): void {
    const { join, claims, exceptions } = this.#parts;
    join.drop(group, pattern);
    claims.revalidate();
    exceptions.revalidate();
  }

  #leave(client: number): void {
    const { members, join, settle } = this.#parts;
    settle.abandon((member) => member.client === client);
    for (const member of members.values()) {
      if (member.client !== client) continue;
      this.#endWait(member.id);
      join.leave(member);
      if (member.group.name === null) this.#end(member.group);
      members.delete(member.id);
    }
  }

  /** A broadcast ends with its subscription, and so does a channel of replies that nobody else reads. */
  #end(group: Group): void {
    const { topology, join, lookAfter, claims, exceptions } = this.#parts;
    if (topology.groups.get(group.id) !== group) return;
    const names = [...group.patterns.keys()];
    join.end(group);
    claims.revalidate();
    exceptions.revalidate();
    lookAfter.removeReplies(names);
  }
}
