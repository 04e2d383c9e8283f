import type { Command } from "commander";
import {
  connectionOf,
  filterOf,
  withFilter,
  withConnection,
  withSettle,
  type AgentFlags,
  type FilterFlags,
} from "./options.ts";
import type { Runner } from "./session.ts";

type ListFlags = AgentFlags & FilterFlags;
type ChangeFlags = ListFlags & { readonly all?: boolean; readonly dryRun?: boolean };

/** Adds `dlq` with its own commands. */
export function addDeadLetterCommands(program: Command, runner: Runner): void {
  const dlq = program.command("dlq").description("look after messages that agents have given up on");
  agents(dlq.command("list"))
    .description("print them as a table")
    .action((flags: ListFlags) =>
      runner(async (session) => {
        const { listDeadLetters } = await import("./commands/dlq-list.ts");
        return listDeadLetters(
          { ids: [], filter: filterOf(flags), ...teamOf(flags), detailed: false },
          session,
        );
      }),
    );
  agents(dlq.command("show [id...]"))
    .description("print them in full, with every failure and the payload")
    .action((ids: string[], flags: ListFlags) =>
      runner(async (session) => {
        const { listDeadLetters } = await import("./commands/dlq-list.ts");
        return listDeadLetters({ ids, filter: filterOf(flags), ...teamOf(flags), detailed: true }, session);
      }),
    );
  change(dlq.command("redrive [id...]"))
    .description("send them back to the agents that gave up on them")
    .action((ids: string[], flags: ChangeFlags) =>
      runner(async (session) =>
        (await import("./commands/dlq-redrive.ts")).redrive(changeOf(ids, flags), session),
      ),
    );
  change(dlq.command("purge [id...]"))
    .description("forget them for good")
    .action((ids: string[], flags: ChangeFlags) =>
      runner(async (session) =>
        (await import("./commands/dlq-purge.ts")).purge(changeOf(ids, flags), session),
      ),
    );
}

function agents(command: Command): Command {
  return withFilter(withSettle(withConnection(command)));
}

function change(command: Command): Command {
  return agents(command)
    .option("--all", "every one of them")
    .option("--dry-run", "only say how many it would be");
}

function changeOf(ids: readonly string[], flags: ChangeFlags) {
  const { all, dryRun } = flags;
  return { ids, filter: filterOf(flags), ...teamOf(flags), all: all === true, dryRun: dryRun === true };
}

function teamOf(flags: AgentFlags) {
  return { connection: connectionOf(flags), settleMs: flags.settle };
}
