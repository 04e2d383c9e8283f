import type { Commit } from "../../core/broker.ts";
import { HeraldError, showValue } from "../../core/errors.ts";
import { Gathered } from "../shared/gathered.ts";
import { inboxLimits } from "../../core/inbox-limits.ts";
import type { StoreWrites } from "../../core/store.ts";
import { RedisDelivery, type Holder } from "./delivery.ts";
import { publishError, replyCode, wasAnswered } from "./errors.ts";
import { COMMIT, type CommitPlan } from "./scripts-commit.ts";
import type { Outbox } from "./outbox.ts";
import type { Publisher } from "./publisher.ts";
import type { Session } from "./session.ts";
import type { Settler } from "./settler.ts";

type Answer =
  | readonly ["ok", readonly number[], readonly [number, number]]
  | readonly ["lost" | "done"]
  | readonly ["changed", string]
  | readonly ["lane", number];

/** What commits work with. */
export interface CommitParts {
  readonly session: Session;
  readonly publisher: Publisher;
  readonly settler: Settler;
}

/** Who settles, and how. */
export interface Committer {
  readonly holder: Holder;
  readonly strict: boolean;
}

const RETRY_MS = 50;
/** How often a lane is made again that somebody deletes. */
const MAX_MADE = 3;

/** Commits of one script: few enough, and small enough together, that a server serves others in between. */
const MAX_PLANS = 32;
const MAX_TEXT = 256 * 1024;

/** Acknowledgements with all that belongs to them, those of one turn in one script. Keys lie in any slot: not for a cluster. */
export class Commits {
  readonly #parts: CommitParts;
  readonly #plans: Gathered<string, PromiseSettledResult<Answer>>;

  constructor(parts: CommitParts) {
    this.#parts = parts;
    this.#plans = new Gathered(async (base, plans) => {
      const sent = partsOf(plans).map((part) => this.#send(base, part));
      return (await Promise.all(sent)).flat();
    }, MAX_PLANS);
  }

  /** What became of each. One that Redis refuses takes no other along: they are sent apart, and what was carried out is found made. */
  async #send(base: string, plans: readonly string[]): Promise<PromiseSettledResult<Answer>[]> {
    try {
      const answers = (await this.#parts.session.run(COMMIT, base, plans)) as Answer[];
      return answers.map((value) => ({ status: "fulfilled", value }));
    } catch (reason) {
      if (plans.length === 1 || !wasAnswered(reason))
        return plans.map(() => ({ status: "rejected", reason }));
      const apart = await Promise.all(plans.map((plan) => this.#send(base, [plan])));
      return apart.flat();
    }
  }

  /** Rejects with `CONFLICT`, and with what a publish rejects with. */
  async commit(commit: Commit, by: Committer): Promise<void> {
    const delivery = commit.delivery.receipt;
    const { id } = commit.inbox;
    if (!(delivery instanceof RedisDelivery) || delivery.holder !== by.holder) throw takenAway(id);
    // Whoever settles it meanwhile settles nothing.
    delivery.holder = null;
    try {
      await this.#carry(commit, delivery, by);
    } catch (error) {
      delivery.holder = by.holder;
      throw publishError(error);
    }
  }

  async #carry(commit: Commit, delivery: RedisDelivery, by: Committer): Promise<void> {
    const { publisher, settler } = this.#parts;
    const { written, shouts } = await publisher.sorted(commit.envelopes);
    const sent = [...written].map(([outbox, envelopes]) => outbox.prepared(envelopes));
    for (let made = 0; ; made++) {
      const publishes = sent.map(({ publish }) => publish);
      const plan = this.#plan(commit, delivery, { strict: by.strict, publishes, shouts });
      const answer = await this.#run(plan, delivery);
      switch (answer[0]) {
        case "ok":
          for (const [at, { told }] of sent.entries()) told(answer[1][at] as number);
          settler.committed(delivery, by.holder, answer[2]);
          return;
        case "done":
          // An answer that was lost, or somebody who had it after us: its effects are made, once.
          settler.committed(delivery, by.holder, [0, -1]);
          return;
        case "lost":
          throw takenAway(commit.inbox.id);
        case "changed":
          throw changed(answer[1]);
        case "lane":
          if (made >= MAX_MADE) throw keepsGoing(commit.inbox.id);
          await ([...written.keys()][answer[1]] as Outbox).makeAgain();
      }
    }
  }

  /** Tried until the lease is over: a script that was carried out before its answer was lost finds the id recorded. */
  async #run(plan: CommitPlan, delivery: RedisDelivery): Promise<Answer> {
    const { session } = this.#parts;
    const text = JSON.stringify(plan);
    for (;;) {
      try {
        const result = await this.#plans.ask(plan.delivery.base, text);
        if (result.status === "rejected") throw result.reason;
        return result.value;
      } catch (error) {
        const isOver = session.clock.monotonic() >= delivery.leaseUntil;
        if (isOver || (wasAnswered(error) && replyCode(error) !== "LOADING")) throw error;
        await new Promise<void>((resolve) => void session.clock.setTimer(RETRY_MS, resolve));
      }
    }
  }

  #plan(
    { inbox, writes }: Commit,
    { group: home, lane, id, count, lockedKey }: RedisDelivery,
    going: Pick<CommitPlan, "publishes" | "shouts"> & { readonly strict: boolean },
  ): CommitPlan {
    const { keys, consumer } = this.#parts.session;
    const { group, base } = home;
    const { publishes, shouts, strict } = going;
    const ack = ["a", lane, id, String(count), lockedKey, "0", ""];
    const settling = [group, consumer, strict ? "1" : "0", ...ack];
    return {
      delivery: { base, stream: home.stream(lane), group, consumer, id, count: String(count), settling },
      inbox: [keys.inbox(inbox.scope), inbox.id, String(inboxLimits({}).horizonMs)],
      publishes,
      shouts,
      streams: keys.streams,
      ...this.#writes(writes),
    };
  }

  #writes({
    reads,
    values,
    appends,
  }: StoreWrites): Pick<CommitPlan, "reads" | "puts" | "deletes" | "appends"> {
    const { keys } = this.#parts.session;
    return {
      reads: reads.map(({ space, key, token }) => [
        keys.values(space),
        key,
        token ?? "",
        `The value ${showValue(key)} of ${showValue(space)}`,
      ]),
      puts: values.flatMap(({ space, key, token, value }) =>
        value === null ? [] : [[keys.values(space), key, token, value] as const],
      ),
      deletes: values.flatMap(({ space, key, value }) =>
        value === null ? [[keys.values(space), key] as const] : [],
      ),
      appends: appends.map(({ stream, version, events }) => ({
        key: keys.stream(stream),
        name: stream,
        version: String(version),
        args: [String(version), keys.grown, stream, ...events.flatMap(({ body, hash }) => [body, hash])],
      })),
    };
  }
}

/** Neighbours, as many as are small enough together. */
function partsOf(plans: readonly string[]): string[][] {
  const parts: string[][] = [[]];
  let size = 0;
  for (const plan of plans) {
    if (size > 0 && size + plan.length > MAX_TEXT) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1)?.push(plan);
    size += plan.length;
  }
  return parts;
}

function takenAway(id: string): HeraldError {
  const message = `${id} is not this subscription's any more: it was settled, or its lease was over, before it was committed, and nothing was written.`;
  return new HeraldError("CONFLICT", message, { details: { id } });
}

function changed(what: string): HeraldError {
  const message = `${what} was changed by somebody else after it was read: nothing was written, and the message is tried again.`;
  return new HeraldError("CONFLICT", message);
}

function keepsGoing(id: string): HeraldError {
  const message = `A channel that ${id} publishes to is deleted again and again: nothing was written.`;
  return new HeraldError("CONFLICT", message, { details: { id } });
}
