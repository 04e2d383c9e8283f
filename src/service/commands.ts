import { HeraldError } from "../core/errors.ts";
import type { Message } from "../core/message.ts";
import type { Handler, HandlerContext } from "../core/middleware.ts";
import { commandChannel } from "../core/names.ts";
import { checkFunction, wrongOption } from "./check-options.ts";
import { valueCheck } from "./contracts.ts";
import type { CommandSpec } from "./manifest/model.ts";

/** Answers one command: its input first, the whole message and the context for those who want them. The result is the reply. */
export type CommandHandler<Input = unknown, Output = unknown> = (
  input: Input,
  message: Message,
  context: HandlerContext,
) => Output | Promise<Output>;

interface Command {
  readonly run: CommandHandler<never>;
  readonly checkInput: ((value: unknown) => unknown) | undefined;
  readonly checkOutput: ((value: unknown) => unknown) | undefined;
}

const NAME = /^[A-Za-z0-9_:-]{1,64}$/;

/** The commands that one agent answers, on one subscription. */
export class Commands {
  readonly #agentId: string;
  readonly #specs: readonly CommandSpec[];
  readonly #commands = new Map<string, Command>();

  constructor(agentId: string, specs: readonly CommandSpec[]) {
    this.#agentId = agentId;
    this.#specs = specs;
  }

  /** What all commands of the agent are received on. */
  get pattern(): string {
    return commandChannel(this.#agentId, "*");
  }

  names(): string[] {
    return [...this.#commands.keys()];
  }

  /** `ALREADY_EXISTS` for a name that has a handler, `INVALID_ARGUMENT` for one that is no token or a handler that is no function, `UNSAFE_SCHEMA`. */
  register(name: string, run: CommandHandler<never>): void {
    if (typeof name !== "string" || !NAME.test(name))
      throw wrongOption("name", "1 to 64 characters of A-Z a-z 0-9 _ : -", name);
    checkFunction("handler", run);
    if (this.#commands.has(name)) {
      throw new HeraldError(
        "ALREADY_EXISTS",
        `Agent '${this.#agentId}' has a handler for the command '${name}' already.`,
        { details: { name } },
      );
    }
    const spec = this.#specs.find((candidate) => candidate.name === name);
    this.#commands.set(name, {
      run,
      checkInput: valueCheck(spec?.inputSchema, `${name} (input)`),
      checkOutput: valueCheck(spec?.outputSchema, `${name} (output)`),
    });
  }

  /** Forgets one command, or all of them. */
  forget(name?: string): void {
    if (name === undefined) this.#commands.clear();
    else this.#commands.delete(name);
  }

  /** Handles what arrives on {@link pattern}. */
  readonly handle: Handler = async (message, context) => {
    const name = message.channel.slice(message.channel.lastIndexOf(".") + 1);
    const command = this.#commands.get(name);
    if (command === undefined) throw this.#unknown(name);
    const { run, checkInput, checkOutput } = command;
    const input = checkInput === undefined ? message.payload : await checkInput(message.payload);
    // A caller waits for an answer, also where there is nothing to say.
    const output: unknown = (await run(input as never, message, context)) ?? null;
    if (checkOutput !== undefined) await checkOutput(output);
    return output;
  };

  #unknown(name: string): HeraldError {
    const known = this.names().toSorted().join(", ");
    return new HeraldError(
      "NOT_FOUND",
      `Agent '${this.#agentId}' has no command '${name}'; it has: ${known}.`,
      { details: { name } },
    );
  }
}
