import { Option, type Command } from "commander";
import type { PublishOptions } from "../core/message.ts";
import { priorityLevel } from "../core/priority.ts";
import type { Connection } from "./connection.ts";
import type { DeadLetterFilter } from "./dead-letter-query.ts";
import { parseDuration, parseWhole, usage } from "./duration.ts";

const PRIORITY_NAMES = ["critical", "high", "normal", "low"] as const;

/** Options of every command that talks to agents. */
export interface ConnectionFlags {
  readonly manifest?: readonly string[];
  readonly url?: string;
  readonly routing?: readonly string[];
}

/** Options of every command that may start agents, and then looks when they have settled. */
export interface AgentFlags extends ConnectionFlags {
  readonly settle: number;
}

/** Adds `--url`. */
export function withUrl(command: Command): Command {
  return command.option(
    "--url <url>",
    "the broker: file:<folder>, redis://…, memory:; else HERALD_URL, else the project's folder .herald",
  );
}

/** Adds `--url` and `--manifest`. */
export function withConnection(command: Command): Command {
  return withRouting(
    withUrl(command).option(
      "-m, --manifest <file...>",
      "start the agents of these manifests in this process first",
    ),
  );
}

/** Adds `--routing`. */
export function withRouting(command: Command): Command {
  return command.option(
    "-r, --routing <file...>",
    "route what this process publishes by the rules of these files",
  );
}

/** The options as a command takes them. */
export function connectionOf({ manifest = [], url, routing = [] }: ConnectionFlags): Connection {
  return { manifest, url, routing };
}

/** Adds `--settle`. */
export function withSettle(command: Command, meaning = "let the agents work for at most this long"): Command {
  return command.addOption(
    new Option("--settle <duration>", meaning).argParser(parseDuration).default(30_000, "30s"),
  );
}

/** What `herald publish` may say of its messages. */
export interface MessageFlags {
  readonly type?: string;
  readonly key?: string;
  readonly priority?: number;
  readonly ttl?: number;
  readonly delay?: number;
  readonly id?: string;
  readonly to?: string;
  readonly header?: Readonly<Record<string, string>>;
}

/** Adds the options of {@link MessageFlags}. */
export function withMessage(command: Command): Command {
  return command
    .option("--type <word>", "event, command, query or a word of your own")
    .option("--key <key>", "partition key: messages of one key keep their order")
    .addOption(
      new Option("--priority <level>", "0 (first) to 99, or critical, high, normal, low").argParser(
        parsePriority,
      ),
    )
    .addOption(new Option("--ttl <duration>", "not handled after this time").argParser(parseDuration))
    .addOption(new Option("--delay <duration>", "not handled before this time").argParser(parseDuration))
    .option("--id <id>", "the message's id")
    .option("--to <agent>", "the agent it is meant for")
    .addOption(headerOption());
}

/** `-H name:value`, as often as wanted. */
export function headerOption(): Option {
  return new Option("-H, --header <name:value>", "a header; may be given again").argParser(parseHeader);
}

/** The options as the service takes them; what was not given is absent. */
export function messageOptions({
  type,
  key,
  priority,
  ttl,
  delay,
  id,
  to,
  header,
}: MessageFlags): PublishOptions {
  return {
    ...(type === undefined ? {} : { type }),
    ...(key === undefined ? {} : { partitionKey: key }),
    ...(priority === undefined ? {} : { priority }),
    ...(ttl === undefined ? {} : { ttlSeconds: ttl / 1000 }),
    ...(delay === undefined ? {} : { delayMs: delay }),
    ...(id === undefined ? {} : { id }),
    ...(to === undefined ? {} : { to }),
    ...(header === undefined ? {} : { headers: header }),
  };
}

/** Which dead letters are meant. */
export interface FilterFlags {
  readonly channel?: string;
  readonly group?: string;
  readonly code?: string;
  readonly agent?: string;
  readonly limit?: number;
}

/** Adds the options of {@link FilterFlags}. */
export function withFilter(command: Command): Command {
  return command
    .option("--channel <name>", "given up on this channel")
    .option("--group <name>", "by this group")
    .option("--code <code>", "with this error code")
    .option("--agent <id>", "by this agent")
    .addOption(new Option("--limit <n>", "at most so many").argParser((text) => parseWhole(text, 1)));
}

/** The options as the service takes them; what was not given is absent. */
export function filterOf({ channel, group, code, agent, limit }: FilterFlags): DeadLetterFilter {
  return {
    ...(channel === undefined ? {} : { channel }),
    ...(group === undefined ? {} : { group }),
    ...(code === undefined ? {} : { code }),
    ...(agent === undefined ? {} : { agentId: agent }),
    ...(limit === undefined ? {} : { limit }),
  };
}

function parsePriority(text: string): number {
  try {
    return priorityLevel(
      PRIORITY_NAMES.find((name) => name === text) ?? (/^\d+$/.test(text) ? Number(text) : -1),
    );
  } catch {
    const hint = `Give 0 to 99, or ${PRIORITY_NAMES.join(", ")}.`;
    throw usage(`'${text}' is not a priority.`, "Messages are started in the order of their priority.", hint);
  }
}

function parseHeader(
  text: string,
  previous: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const at = text.indexOf(":");
  if (at < 1)
    throw usage(`'${text}' is not a header.`, "A header is a name and a value.", "Write -H name:value.");
  return { ...previous, [text.slice(0, at).trim()]: text.slice(at + 1).trim() };
}
