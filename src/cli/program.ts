import { Command, CommanderError, Option } from "commander";
import { EXIT } from "./exit-codes.ts";
import { addDeadLetterCommands } from "./program-dlq.ts";
import {
  headerOption,
  messageOptions,
  withManifest,
  withMessage,
  withSettle,
  type AgentFlags,
  type MessageFlags,
} from "./options.ts";
import { parseDuration, parseWhole } from "./duration.ts";
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
  addLooking(program, runner);
  return program;
}

function addRunning(program: Command, runner: Runner): void {
  program
    .command("run <manifest...>")
    .description("start agents and keep them running until Ctrl-C")
    .option("--until-idle", "end when nothing is left to do")
    .action((manifest: string[], flags: { untilIdle?: boolean }) =>
      runner(async (session) =>
        (await import("./commands/run.ts")).run({ manifest, untilIdle: flags.untilIdle === true }, session),
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
  withSettle(withMessage(withManifest(program.command("publish"))))
    .argument("<channel>", "where to")
    .argument("[data]", "JSON, @file or -; an empty object without it")
    .description("start agents, publish to a channel, and say what came of it")
    .option("--no-validate", "do not hold the data to the manifests' schema")
    .action(
      (channel: string, data: string | undefined, flags: AgentFlags & MessageFlags & { validate: boolean }) =>
        runner(async (session) => {
          const { manifest, settle: settleMs, validate } = flags;
          const { publish } = await import("./commands/publish.ts");
          return publish(
            { channel, data, manifest, validate, settleMs, message: messageOptions(flags) },
            session,
          );
        }),
    );
  withManifest(program.command("tail <pattern>"))
    .description("start agents and print the messages of a channel or pattern")
    .addOption(
      new Option("--limit <n>", "end after so many messages").argParser((text) => parseWhole(text, 1)),
    )
    .option("--until-idle", "end when nothing is left to do")
    .option("--where <expression>", "only messages for which this holds, such as payload.severity == 'high'")
    .action(
      (
        pattern: string,
        {
          manifest,
          limit,
          untilIdle,
          where,
        }: { manifest: string[]; limit?: number; untilIdle?: boolean; where?: string },
      ) =>
        runner(async (session) =>
          (await import("./commands/tail.ts")).tail(
            { pattern, manifest, limit, untilIdle: untilIdle === true, where },
            session,
          ),
        ),
    );
}

function addAsking(program: Command, runner: Runner): void {
  withSettle(withManifest(program.command("request")))
    .argument("<target>", "<agent>.<command>, or a channel")
    .argument("[data]", "JSON, @file or -")
    .description("start agents, ask a command of one or a channel, and print the answer")
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
          const { manifest, settle: settleMs, timeout: timeoutMs, header: headers } = flags;
          return (await import("./commands/request.ts")).request(
            { target, data, manifest, timeoutMs, settleMs, headers },
            session,
          );
        }),
    );
}

function addLooking(program: Command, runner: Runner): void {
  withSettle(withManifest(program.command("lag")))
    .description("start agents and print how much waits for each group once they have settled")
    .option("--group <name>", "of this group only")
    .option("--channel <name>", "on this channel only")
    .addOption(
      new Option("--fail-over <n>", "exit code 3 when a lag is over this").argParser((text) =>
        parseWhole(text),
      ),
    )
    .action((flags: AgentFlags & { group?: string; channel?: string; failOver?: number }) =>
      runner(async (session) => {
        const { manifest, settle: settleMs, group, channel, failOver } = flags;
        return (await import("./commands/lag.ts")).lag(
          { manifest, settleMs, group, channel, failOver },
          session,
        );
      }),
    );
  withSettle(withManifest(program.command("channels [pattern]")))
    .description("start agents and print their channels once they have settled")
    .action((pattern: string | undefined, { manifest, settle: settleMs }: AgentFlags) =>
      runner(async (session) =>
        (await import("./commands/channels.ts")).channels({ pattern, manifest, settleMs }, session),
      ),
    );
  program
    .command("doctor")
    .description("check Node, the brokers and, where given, manifests")
    .option("-m, --manifest <file...>", "check that the agents of these manifests start")
    .action(({ manifest = [] }: { manifest?: string[] }) =>
      runner(async (session) => (await import("./commands/doctor.ts")).doctor({ manifest }, session)),
    );
}
