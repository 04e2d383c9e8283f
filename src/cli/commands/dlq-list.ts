import { withAgents } from "../agents.ts";
import type { Connection } from "../connection.ts";
import { deadLetterJson, deadLetterPage, deadLetterTable, type DeadLetter } from "../dead-letter-view.ts";
import { notFound, type DeadLetterQuery } from "../dead-letter-query.ts";
import { EXIT } from "../exit-codes.ts";
import type { Session } from "../session.ts";
import { settle } from "../summary.ts";

/** What `herald dlq list` and `herald dlq show` were given. */
export interface DeadLetterListCommand extends DeadLetterQuery {
  readonly connection: Connection;
  readonly settleMs: number;
  /** In full, not as a table. */
  readonly detailed: boolean;
}

/** Prints dead letters, as a table or each in full. `NOT_FOUND` for an id that is not among them. */
export async function listDeadLetters(command: DeadLetterListCommand, session: Session): Promise<number> {
  const { ids, filter, detailed } = command;
  return withAgents(session, command.connection, {}, async (agents) => {
    await settle(agents, session, command.settleMs);
    const { deadLetters } = agents.operator;
    const entries =
      ids.length === 0
        ? await deadLetters.list({ limit: Infinity, ...filter })
        : await findAll(ids, (id) => deadLetters.get(id));
    print(entries, detailed, session);
    return EXIT.done;
  });
}

async function findAll(
  ids: readonly string[],
  get: (id: string) => Promise<DeadLetter | undefined>,
): Promise<DeadLetter[]> {
  const found: DeadLetter[] = [];
  for (const id of ids) {
    const entry = await get(id);
    if (entry === undefined) throw notFound(id);
    found.push(entry);
  }
  return found;
}

function print(entries: readonly DeadLetter[], detailed: boolean, { output }: Session): void {
  if (output.options.json) {
    for (const entry of entries) output.json(deadLetterJson(entry, detailed));
    return;
  }
  if (entries.length === 0) {
    output.sentence("There is no dead letter.");
    return;
  }
  if (!detailed) {
    output.lines(deadLetterTable(entries, output));
    output.note(
      "Each in full, with its id: herald dlq show. Back to their agents: herald dlq redrive --all.",
    );
    return;
  }
  for (const [at, entry] of entries.entries())
    output.lines([...(at === 0 ? [] : [""]), ...deadLetterPage(entry, output)]);
}
