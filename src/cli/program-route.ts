import type { Command } from "commander";
import type { Runner } from "./session.ts";

/** Adds `route` with its own commands. */
export function addRouteCommands(program: Command, runner: Runner): void {
  const route = program
    .command("route")
    .description("look into the rules by which messages go between agents");
  route
    .command("explain <message>")
    .description(
      "say what every rule makes of a message and why; the message is JSON with channel, source and payload, @file or -",
    )
    .requiredOption("-r, --routing <file...>", "files of kind MessageRouting")
    .action((message: string, { routing }: { routing: string[] }) =>
      runner(async (session) =>
        (await import("./commands/route-explain.ts")).routeExplain({ message, routing }, session),
      ),
    );
}
