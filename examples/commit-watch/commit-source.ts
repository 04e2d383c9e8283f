import { setTimeout as sleep } from "node:timers/promises";
import { RejectError, type MessagingService } from "../../src/index.ts";
import path from "node:path";
import { COMMITS, HISTORY, type Commit } from "./channels.ts";
import { openHistory, type History } from "./history/history.ts";
import { messageOf } from "./history/text.ts";

/** The checkout that this file is part of. */
const CHECKOUT = path.join(import.meta.dirname, "..", "..");
/** So far may the source be ahead of its slowest reader: a history of any length fits into little memory. */
const MAX_AHEAD = 100;
const LOOK_AGAIN_MS = 5;

interface ReadHistory {
  readonly repository?: string;
  readonly limit?: number;
  readonly watch?: boolean;
}

/** The agent of `commit-source.yaml`: one message a commit. */
export default function commitSource(agent: MessagingService) {
  let history: History | undefined;
  return {
    async read_history({ repository = CHECKOUT, limit, watch = false }: ReadHistory) {
      history = await openHistory(path.resolve(repository));
      // The answer is that the reading has begun. Its end is announced on code.history.
      void publishHistory(agent, history, { limit, watch });
      const { origin, reason } = history;
      return { origin, repository: history.repository, ...(reason === undefined ? {} : { reason }) };
    },

    async publish_again({ sha }: { readonly sha: string }) {
      const commit = await history?.commit(sha);
      if (commit === undefined)
        throw new RejectError(`There is no commit ${sha} in the history that was read.`);
      return { id: await publishCommit(agent, commit) };
    },
  };
}

async function publishHistory(
  agent: MessagingService,
  history: History,
  { limit, watch }: { readonly limit: number | undefined; readonly watch: boolean },
): Promise<void> {
  let commits = 0;
  let last: string | undefined;
  const publishAll = async (some: AsyncIterable<Commit>): Promise<void> => {
    for await (const commit of some) {
      await room(agent);
      last = await publishCommit(agent, commit);
      commits++;
    }
  };
  try {
    await publishAll(history.commits(limit));
    await agent.publish(HISTORY, { state: "consumed", commits });
    if (watch && history.follow !== undefined) await publishAll(history.follow(last, () => !agent.isRunning));
  } catch (error) {
    // Who stops the agent does not wait for the rest.
    if (!agent.isRunning) return;
    await agent.publish(HISTORY, { state: "failed", commits, reason: messageOf(error) });
  }
}

/** The id follows from the content: a commit that is published again is the same message. */
function publishCommit(agent: MessagingService, commit: Commit): Promise<string> {
  return agent.publish(COMMITS, commit, { id: commit.sha, type: "event" });
}

/** Back-pressure: waits while too much of what was published is not handled yet. */
async function room(agent: MessagingService): Promise<void> {
  for (;;) {
    const groups = await agent.getConsumerLag({ channel: COMMITS.channel });
    if (groups.every(({ lag }) => (lag ?? 0) < MAX_AHEAD)) return;
    await sleep(LOOK_AGAIN_MS);
  }
}
