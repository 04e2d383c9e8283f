import { setTimeout as sleep } from "node:timers/promises";
import { RejectError, type MessagingService } from "../../src/index.ts";
import path from "node:path";
import { COMMITS, HISTORY, type Commit } from "./channels.ts";
import { openHistory, type History } from "./history/history.ts";
import { messageOf } from "./history/text.ts";

/** The checkout that this file is part of. */
const CHECKOUT = path.join(import.meta.dirname, "..", "..");
/** Published together: a broker on a disk writes them with one sync. */
const AT_ONCE = 20;
/** So far may the source be ahead of its slowest reader: a history of any length fits into little memory. */
const MAX_AHEAD = 100;
const LOOK_AGAIN_MS = 5;

interface ReadHistory {
  readonly repository?: string;
  readonly limit?: number;
  readonly upTo?: string;
  readonly watch?: boolean;
}

/** The agent of `commit-source.yaml`: one message a commit. */
export default function commitSource(agent: MessagingService) {
  let history: History | undefined;
  return {
    async read_history({ repository = CHECKOUT, watch = false, ...range }: ReadHistory) {
      history = await openHistory(path.resolve(repository));
      // The answer is that the reading has begun. Its end is announced on code.history.
      void publishHistory(agent, history, { ...range, watch });
      const { origin, reason } = history;
      return { origin, repository: history.repository, ...(reason === undefined ? {} : { reason }) };
    },

    async publish_again({ sha }: { readonly sha: string }) {
      const commit = await history?.commit(sha);
      if (commit === undefined)
        throw new RejectError(`There is no commit ${sha} in the history that was read.`);
      // The id is known, and what the broker has under it is damaged: this time it must not be recognised.
      return { id: await publishCommit(agent, commit, { dedupe: false }) };
    },
  };
}

async function publishHistory(
  agent: MessagingService,
  history: History,
  { watch, ...range }: Omit<ReadHistory, "repository">,
): Promise<void> {
  let commits = 0;
  let last = range.upTo;
  const publishAll = async (some: AsyncIterable<Commit>, atOnce: number): Promise<void> => {
    for await (const chunk of chunksOf(some, atOnce)) {
      await room(agent);
      await Promise.all(chunk.map((commit) => publishCommit(agent, commit, { dedupe: true })));
      commits += chunk.length;
      last = chunk.at(-1)?.sha;
    }
  };
  try {
    await publishAll(history.commits(range), AT_ONCE);
    await agent.publish(HISTORY, { state: "consumed", commits });
    if (watch === true && history.follow !== undefined)
      await publishAll(
        history.follow(last, () => !agent.isRunning),
        1,
      );
  } catch (error) {
    // Who stops the agent does not wait for the rest.
    if (!agent.isRunning) return;
    await agent.publish(HISTORY, { state: "failed", commits, reason: messageOf(error) });
  }
}

async function* chunksOf<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[], void, undefined> {
  let chunk: T[] = [];
  for await (const item of items) {
    if (chunk.push(item) < size) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

/** The id follows from the content: a commit that is published again, after a crash perhaps, is the same message. */
function publishCommit(
  agent: MessagingService,
  commit: Commit,
  { dedupe }: { readonly dedupe: boolean },
): Promise<string> {
  return agent.publish(COMMITS, commit, { id: commit.sha, type: "event", dedupe });
}

/** Back-pressure: waits while too much of what was published is not handled yet. */
async function room(agent: MessagingService): Promise<void> {
  for (;;) {
    const groups = await agent.getConsumerLag({ channel: COMMITS.channel });
    if (groups.every(({ lag }) => (lag ?? 0) < MAX_AHEAD)) return;
    await sleep(LOOK_AGAIN_MS);
  }
}
