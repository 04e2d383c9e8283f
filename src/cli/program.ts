import { Command, CommanderError, Option } from "commander";
import type { StartFrom } from "../core/broker.ts";
import { EXIT } from "./exit-codes.ts";
import { addBrokerCommands } from "./program-broker.ts";
import { addConversationCommands } from "./program-conversation.ts";
import { addDeadLetterCommands } from "./program-dlq.ts";
import { addRouteCommands } from "./program-route.ts";
import {
  connectionOf,
  headerOption,
  messageOptions,
  withConnection,
  withMessage,
  withRouting,
  withSettle,
  withUrl,
  type AgentFlags,
  type ConnectionFlags,
  type MessageFlags,
} from "./options.ts";
import { parseDuration, parseStart, parseWhole } from "./duration.ts";
import { packageInfo } from "./package-info.ts";
import type { Runner, Session } from "./session.ts";
import { wrap } from "./text.ts";
import { usageError } from "./usage-errors.ts";

const AFTER = [
  "",
  "Data is JSON, @file (one value, or one a line of a .jsonl), or - for standard input, one JSON a line.",
  "Put -- between a list of manifests and what follows it, as in",
  "  herald publish -m a.yaml b.yaml -- orders.created '{\"id\":1}'",
  "",
  "Exit codes: 0 done, 1 failed, 2 some of many failed, 3 a check did not hold, 64 usage, 65 invalid data or manifest, 66 no such file, 69 nobody answers, 70 bug, 75 try again, 77 not permitted, 78 not possible, 130 interrupted, 143 terminated.",
];

/** Reads the command line and runs its command; resolves to the exit code. Rejects with a HeraldError, `USAGE` among them. */
export async function execute(argv: readonly string[], session: Session): Promise<number> {
  let exit: number = EXIT.done;
  const program = createProgram(session, async (work) => void (exit = await work(session)));
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const mistake = usageError(error, program, argv);
    if (mistake !== undefined) throw mistake;
  }
  return exit;
}

type TailFlags = ConnectionFlags & {
  readonly limit?: number;
  readonly untilIdle?: boolean;
  readonly where?: string;
  readonly from?: StartFrom;
};

/** Every command with its arguments and options. What a command does is imported when it is asked for. */
function createProgram({ output }: Session, runner: Runner): Command {
  const program = new Command("herald")
    .description("Agent-to-agent messaging: run agents from their manifests, and talk to them.")
    .version(packageInfo().version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .option("--json", "print JSON lines for programs; logs and errors on stderr as JSON too")
    .option("-q, --quiet", "no remarks, no live account; errors only")
    .option("-v, --verbose", "everything that the agents log, with stack traces")
    .configureHelp({
      showGlobalOptions: true,
      minWidthToWrap: 10,
      subcommandTerm: (command) => `${command.name()} ${command.usage().replace(/\[options\] ?/, "")}`,
    })
    .configureOutput({
      writeOut: (text) => output.line(text.trimEnd()),
      writeErr: () => {},
      outputError: () => {},
      getOutHelpWidth: () => output.width,
      getOutHasColors: () => false,
    })
    .showSuggestionAfterError(false)
    .exitOverride()
    .addHelpText(
      "after",
      AFTER.flatMap((line) => wrap(line.trimStart(), output.width, /^ */.exec(line)?.[0])).join("\n"),
    );
  addRunning(program, runner);
  addTalking(program, runner);
  addAsking(program, runner);
  addDeadLetterCommands(program, runner);
  addConversationCommands(program, runner);
  addLooking(program, runner);
  addBrokerCommands(program, runner);
  addRouteCommands(program, runner);
  return program;
}

function addRunning(program: Command, runner: Runner): void {
  withRouting(withUrl(program.command("run <manifest...>")))
    .description("start agents and keep them running until Ctrl-C")
    .option("--until-idle", "end when nothing is left to do")
    .action((manifest: string[], { untilIdle, url, routing }: ConnectionFlags & { untilIdle?: boolean }) =>
      runner(async (session) =>
        (await import("./commands/run.ts")).run(
          {
            connection: { manifest, url, ...(routing === undefined ? {} : { routing }) },
            untilIdle: untilIdle === true,
          },
          session,
        ),
      ),
    );
  program
    .command("validate <manifest...>")
    .description("check manifests, and what they say of each other")
    .option("--strict", "warnings are errors")
    .addOption(new Option("--format <format>", "how to print").choices(["text", "json", "github"]))
    .action(
      (files: string[], { strict, format }: { strict?: boolean; format?: "text" | "json" | "github" }) =>
        runner(async (session) => {
          const chosen = format ?? (session.output.options.json ? "json" : "text");
          return (await import("./commands/validate.ts")).validate(
            { files, strict: strict === true, format: chosen },
            session,
          );
        }),
    );
}

function addTalking(program: Command, runner: Runner): void {
  withSettle(withMessage(withConnection(program.command("publish"))))
    .argument("<channel>", "where to")
    .argument("[data]", "JSON, @file or -; an empty object without it")
    .description("publish to a channel; with --manifest also say what its agents made of it")
    .option("--no-validate", "do not hold the data to the manifests' schema")
    .action(
      (channel: string, data: string | undefined, flags: AgentFlags & MessageFlags & { validate: boolean }) =>
        runner(async (session) => {
          const { settle: settleMs, validate } = flags;
          const { publish } = await import("./commands/publish.ts");
          const command = { channel, data, connection: connectionOf(flags), validate, settleMs };
          return publish({ ...command, message: messageOptions(flags) }, session);
        }),
    );
  withConnection(program.command("tail <pattern>"))
    .description("print the messages of a channel or pattern as they are published")
    .addOption(
      new Option("--limit <n>", "end after so many messages").argParser((text) => parseWhole(text, 1)),
    )
    .option("--until-idle", "end when nothing is left to do")
    .option("--where <expression>", "only messages for which this holds, such as payload.severity == 'high'")
    .addOption(
      new Option("--from <start>", "earliest, or an ISO time: what was published before as well").argParser(
        parseStart,
      ),
    )
    .action((pattern: string, flags: TailFlags) =>
      runner(async (session) => {
        const { limit, untilIdle, where, from } = flags;
        const command = { pattern, connection: connectionOf(flags), limit, where, from };
        return (await import("./commands/tail.ts")).tail(
          { ...command, untilIdle: untilIdle === true },
          session,
        );
      }),
    );
}

function addAsking(program: Command, runner: Runner): void {
  withSettle(withConnection(program.command("request")))
    .argument("<target>", "<agent>.<command>, or a channel")
    .argument("[data]", "JSON, @file or -")
    .description("ask a command of an agent, or a channel, and print the answer")
    .addOption(
      new Option("--timeout <duration>", "wait for the answer at most this long")
        .argParser(parseDuration)
        .default(30_000, "30s"),
    )
    .addOption(headerOption())
    .action(
      (
        target: string,
        data: string | undefined,
        flags: AgentFlags & { timeout: number; header?: Record<string, string> },
      ) =>
        runner(async (session) => {
          const { settle: settleMs, timeout: timeoutMs, header: headers } = flags;
          const command = { target, data, connection: connectionOf(flags), timeoutMs };
          return (await import("./commands/request.ts")).request({ ...command, settleMs, headers }, session);
        }),
    );
}

function addLooking(program: Command, runner: Runner): void {
  withSettle(withConnection(program.command("lag")))
    .description("print how much waits for each group")
    .option("--group <name>", "of this group only")
    .option("--channel <name>", "on this channel only")
    .addOption(
      new Option("--fail-over <n>", "exit code 3 when a lag is over this").argParser((text) =>
        parseWhole(text),
      ),
    )
    .action((flags: AgentFlags & { group?: string; channel?: string; failOver?: number }) =>
      runner(async (session) => {
        const { settle: settleMs, group, channel, failOver } = flags;
        const command = { connection: connectionOf(flags), settleMs, group, channel, failOver };
        return (await import("./commands/lag.ts")).lag(command, session);
      }),
    );
  withSettle(withConnection(program.command("channels [pattern]")))
    .description("print the channels, who publishes there and who listens")
    .action((pattern: string | undefined, flags: AgentFlags) =>
      runner(async (session) =>
        (await import("./commands/channels.ts")).channels(
          { pattern, connection: connectionOf(flags), settleMs: flags.settle },
          session,
        ),
      ),
    );
  program
    .command("doctor")
    .description("check Node, the brokers and, where given, manifests and the storage of a file broker")
    .option("-m, --manifest <file...>", "check that the agents of these manifests start")
    .option("--url <url>", "read the whole storage of this file broker: file:<folder>")
    .option("--repair", "rebuild that storage from all that can be read, and keep the damaged one beside it")
    .action(({ manifest = [], url, repair }: { manifest?: string[]; url?: string; repair?: boolean }) =>
      runner(async (session) =>
        (await import("./commands/doctor.ts")).doctor({ manifest, url, repair: repair === true }, session),
      ),
    );
}
