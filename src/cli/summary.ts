import { accountLine, accountTable } from "./account.ts";
import type { InProcessAgents } from "./agents.ts";
import { showDuration } from "./duration.ts";
import type { Output } from "./output.ts";
import type { Session } from "./session.ts";
import type { IdleResult } from "./activity.ts";

/** Prints what happened: a table and a line for people; for programs a line for each channel and one with the sums. */
export function printSummary(agents: InProcessAgents, output: Output): void {
  const account = agents.account();
  const elapsedMs = Math.round(agents.elapsedMs);
  if (output.options.json) {
    for (const row of account.channels) output.json({ type: "channel", ...row });
    output.json({ type: "summary", ...account.total, elapsedMs });
    return;
  }
  if (account.channels.length > 0) output.lines(accountTable(account, output));
  output.sentence(accountLine(account, agents.elapsedMs));
}

/** Lets the agents settle; says so where they did not within the time, and drains them where the command was interrupted. */
export async function settle(
  agents: InProcessAgents,
  { output }: Session,
  timeoutMs: number,
): Promise<IdleResult> {
  // Those that run elsewhere are not waited for: what they do is never over.
  if (agents.agents.length === 0) return "idle";
  const result = await agents.untilIdle(timeoutMs);
  if (result === "interrupted") await agents.drain();
  if (result === "timeout") {
    agents.hurry();
    output.note(
      `The agents have not settled within ${showDuration(timeoutMs)}; what follows is how it stands now.`,
    );
  }
  return result;
}
