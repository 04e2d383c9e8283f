import type { Command, CommanderError } from "commander";
import { nearest } from "../core/nearest.ts";
import type { HeraldError } from "../core/errors.ts";
import { usage } from "./duration.ts";

/** What commander says in its message, within quotes. */
const QUOTED = /'([^']*)'/;

/**
 * What commander found wrong with a command line, as an error of ours with the nearest command or option. Undefined when it
 * is no error: help or the version was asked for.
 */
export function usageError(
  error: CommanderError,
  program: Command,
  argv: readonly string[],
): HeraldError | undefined {
  if (error.code === "commander.helpDisplayed" || error.code === "commander.version") return undefined;
  const command = commandOf(program, argv);
  const name = fullName(command);
  const help = `${name} --help shows what it takes.`;
  const word = QUOTED.exec(error.message)?.[1] ?? "";
  switch (error.code) {
    case "commander.unknownCommand":
      return usage(
        `There is no command '${word}'.`,
        `${name} has ${namesOf(command).join(", ")}.`,
        suggestion(word, namesOf(command), help),
      );
    case "commander.unknownOption":
      return usage(
        `${name} has no option '${word}'.`,
        "An option that is not known is never passed over.",
        suggestion(word, flagsOf(command, program), help),
      );
    case "commander.missingArgument":
      return usage(`${name} needs its argument <${word}>.`, swallowed(argv), help);
    case "commander.help":
      return usage(`${name} needs a command.`, `It has ${namesOf(command).join(", ")}.`, help);
    default:
      return usage(sentence(error.message), "The arguments do not fit the command.", help);
  }
}

/** A list of files takes everything up to the next option: the usual reason for a missing argument. */
function swallowed(argv: readonly string[]): string {
  const lists = argv.some((arg) => arg === "-m" || arg.startsWith("--manifest"));
  return lists && !argv.includes("--")
    ? "--manifest takes every word up to the next option or --."
    : "It cannot be done without.";
}

/** The deepest command that the words name. */
function commandOf(program: Command, argv: readonly string[]): Command {
  let command = program;
  for (const word of argv) {
    if (word.startsWith("-")) continue;
    const next = command.commands.find(
      (candidate) => candidate.name() === word || candidate.aliases().includes(word),
    );
    if (next === undefined) break;
    command = next;
  }
  return command;
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

function namesOf(command: Command): string[] {
  return command.commands.map((candidate) => candidate.name());
}

function flagsOf(command: Command, program: Command): string[] {
  const options = [...command.options, ...program.options];
  return [...options.flatMap(({ long }) => long ?? []), "--help"];
}

function suggestion(word: string, known: readonly string[], help: string): string {
  const near = nearest(word.replace(/=.*$/, ""), known);
  return near === undefined ? help : `Did you mean ${near}? ${help}`;
}

function sentence(message: string): string {
  const text = message.replace(/^error: /, "");
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.?$/, ".")}`;
}
