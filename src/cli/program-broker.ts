import { Option, type Command } from "commander";
import { parseDuration, parseWhole } from "./duration.ts";
import { connectionOf, withUrl, type ConnectionFlags } from "./options.ts";
import type { Runner } from "./session.ts";

type TestFlags = ConnectionFlags & { readonly messages: number; readonly timeout: number };

const SWITCHES = [
  {
    name: "failover",
    to: "fallback",
    what: "send the publishers of every process to the fallback, until failback",
  },
  { name: "failback", to: "primary", what: "send them to the primary again" },
] as const;

/** Adds `broker` with its own commands. */
export function addBrokerCommands(program: Command, runner: Runner): void {
  const broker = program.command("broker").description("look after the broker that agents talk over");
  withUrl(broker.command("status"))
    .description("print what it is, what it can do and what it holds")
    .action((flags: ConnectionFlags) =>
      runner(async (session) => {
        const { brokerStatus } = await import("./commands/broker-status.ts");
        return brokerStatus({ connection: connectionOf(flags) }, session);
      }),
    );
  withUrl(broker.command("test"))
    .description("send messages through it and back, and say how long they took and what they survive")
    .addOption(new Option("--messages <n>", "how many").argParser((text) => parseWhole(text, 1)).default(100))
    .addOption(
      new Option("--timeout <duration>", "for all of them").argParser(parseDuration).default(10_000, "10s"),
    )
    .action((flags: TestFlags) =>
      runner(async (session) => {
        const { brokerTest } = await import("./commands/broker-test.ts");
        const { messages, timeout: timeoutMs } = flags;
        return brokerTest({ connection: connectionOf(flags), messages, timeoutMs }, session);
      }),
    );
  for (const { name, to, what } of SWITCHES)
    withUrl(broker.command(name))
      .description(what)
      .option("--dry-run", "only say what waits")
      .action((flags: ConnectionFlags & { readonly dryRun?: boolean }) =>
        runner(async (session) => {
          const { brokerSwitch } = await import("./commands/broker-switch.ts");
          return brokerSwitch(
            { connection: connectionOf(flags), to, dryRun: flags.dryRun === true },
            session,
          );
        }),
      );
}
