import type { Command } from "commander";
import { connectionOf, withUrl, type ConnectionFlags } from "./options.ts";
import type { Runner } from "./session.ts";

/** Adds `conversation` with its own commands. */
export function addConversationCommands(program: Command, runner: Runner): void {
  const conversation = program
    .command("conversation")
    .description("see to one conversation by its correlation id");
  const add = (name: "stop" | "release" | "used", description: string): void => {
    withUrl(conversation.command(`${name} <correlationId>`))
      .description(description)
      .action((correlationId: string, flags: ConnectionFlags) =>
        runner(async (session) => {
          const command = { action: name, correlationId, connection: connectionOf(flags) };
          return (await import("./commands/conversation.ts")).conversation(command, session);
        }),
      );
  };
  add("stop", "send its messages to the dead letters from now on, in every process of the broker");
  add("release", "let a stopped one go on");
  add("used", "print what one with a budget has used so far");
}
