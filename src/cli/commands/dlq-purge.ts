import { withAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { checkMeant, notFound, type DeadLetterQuery } from "../dead-letter-query.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { settle } from "../summary.ts";
import { count } from "../text.ts";

/** What `herald dlq purge` was given. */
export interface PurgeCommand extends DeadLetterQuery {
  readonly connection: Connection;
  readonly settleMs: number;
  readonly all: boolean;
  /** Says what would go and forgets nothing. */
  readonly dryRun: boolean;
}

/** Forgets dead letters for good. */
export async function purge(command: PurgeCommand, session: Session): Promise<number> {
  checkMeant(command, command.all);
  const { ids, filter, dryRun } = command;
  const { output } = session;
  return withAgents(session, command.connection, {}, async (agents) => {
    await settle(agents, session, command.settleMs);
    const { deadLetters } = agents.operator;
    for (const id of ids) if ((await deadLetters.get(id)) === undefined) throw notFound(id);
    const which = ids.length === 0 ? [filter] : ids.map((id) => ({ id }));
    let total = 0;
    for (const one of which)
      total += dryRun ? (await deadLetters.stats(one)).total : await deadLetters.purge(one);
    if (output.options.json)
      output.json({ type: "purge", purged: dryRun ? 0 : total, ...(dryRun ? { wouldPurge: total } : {}) });
    else output.sentence(`${count(total, "dead letter")} ${dryRun ? "would be purged" : "purged"}.`);
    return EXIT.done;
  });
}
