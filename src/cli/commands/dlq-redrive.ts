import { withAgents, type InProcessAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { checkMeant, notFound, type DeadLetterQuery } from "../dead-letter-query.ts";
import { EXIT, exitOfMany } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { printSummary, settle } from "../summary.ts";
import { count } from "../text.ts";

/** What `herald dlq redrive` was given. */
export interface RedriveCommand extends DeadLetterQuery {
  readonly connection: Connection;
  readonly settleMs: number;
  readonly all: boolean;
  /** Says what would be sent back and sends nothing. */
  readonly dryRun: boolean;
}

/** Sends dead letters back to the agents that gave up on them, lets them settle and says how many are dead again. */
export async function redrive(command: RedriveCommand, session: Session): Promise<number> {
  checkMeant(command, command.all);
  const { output } = session;
  return withAgents(session, command.connection, {}, async (agents) => {
    await settle(agents, session, command.settleMs);
    const ids = await idsOf(command, agents);
    if (command.dryRun) {
      say(
        session,
        { type: "redrive", redriven: 0, wouldRedrive: ids.length, deadAgain: 0 },
        `${count(ids.length, "dead letter")} would be sent back.`,
      );
      return EXIT.done;
    }
    for (const id of ids) await agents.operator.deadLetters.redrive(id);
    if (agents.agents.length === 0) {
      const text = `${count(ids.length, "dead letter")} sent back.`;
      say(session, { type: "redrive", redriven: ids.length, deadAgain: null }, text);
      return EXIT.done;
    }
    const settled = await settle(agents, session, command.settleMs);
    const deadAgain = await countOf(ids, agents);
    say(
      session,
      { type: "redrive", redriven: ids.length, deadAgain },
      `${count(ids.length, "dead letter")} sent back, ${deadAgain} dead again.`,
    );
    if (!output.options.json) printSummary(agents, output);
    const exit = exitOfMany(deadAgain, ids.length, EXIT.failed);
    return exit === EXIT.done && settled === "timeout" ? EXIT.temporary : exit;
  });
}

async function idsOf(
  { ids, filter }: DeadLetterQuery,
  { operator }: InProcessAgents,
): Promise<readonly string[]> {
  if (ids.length === 0)
    return [
      ...new Set((await operator.deadLetters.list({ limit: Infinity, ...filter })).map(({ id }) => id)),
    ];
  for (const id of ids) if ((await operator.deadLetters.get(id)) === undefined) throw notFound(id);
  return ids;
}

async function countOf(ids: readonly string[], { operator }: InProcessAgents): Promise<number> {
  const dead = new Set((await operator.deadLetters.list({ limit: Infinity })).map(({ id }) => id));
  return ids.filter((id) => dead.has(id)).length;
}

function say({ output }: Session, json: object, text: string): void {
  if (output.options.json) output.json(json);
  else output.sentence(text);
}
