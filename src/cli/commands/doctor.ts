import { brokerOf } from "../../service/broker-url.ts";
import { loadAgents } from "../../service/load-agents.ts";
import { storageOf } from "../../service/storage.ts";
import { failedCheck, type Check } from "../check.ts";
import { usage } from "../duration.ts";
import { satisfies } from "../engines.ts";
import { EXIT } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { packageInfo } from "../package-info.ts";
import type { Session } from "../session.ts";
import { checkStorage, mendStorage } from "../storage-checks.ts";
import { count, printable, wrap } from "../text.ts";

const MODULE = "Correct the agent's module; its code is run as it stands.";

/** What `herald doctor` was given. */
export interface DoctorCommand {
  readonly manifest: readonly string[];
  /** The file broker whose storage is to be read. */
  readonly url?: string | undefined;
  /** Repairs that storage where it is damaged. */
  readonly repair: boolean;
}

/**
 * Looks at Node, the brokers, the manifests and the storage given, and says what does not hold: exit code 3; 2 for a
 * storage that is repaired and could not give everything back.
 */
export async function doctor(command: DoctorCommand, session: Session): Promise<number> {
  const directory = storageIn(command);
  const checks = [herald(), node(), await memoryBroker()];
  for (const file of command.manifest) checks.push(await agent(file, session));
  const exit = checks.every(({ ok }) => ok) ? EXIT.done : EXIT.check;
  if (directory === undefined) {
    print(checks, session.output);
    return exit;
  }
  const looked = await (command.repair
    ? mendStorage(directory)
    : checkStorage(directory, `file:${directory}`));
  print([...checks, ...looked.checks], session.output);
  return exit === EXIT.done ? looked.exit : exit;
}

function storageIn({ url, repair }: DoctorCommand): string | undefined {
  const directory = url === undefined ? undefined : storageOf(url);
  if (directory !== undefined || (url === undefined && !repair)) return directory;
  throw usage(
    repair && url === undefined
      ? "There is nothing to repair."
      : `The storage of '${url}' is not ours to look at.`,
    "Only the file broker keeps its storage itself.",
    "Write --url file:<directory>; other brokers are looked at with herald broker status.",
  );
}

function herald(): Check {
  return {
    check: "herald",
    ok: true,
    detail: `${packageInfo().version} on ${process.platform} ${process.arch}`,
  };
}

function node(): Check {
  const range = packageInfo().engines.node;
  const ok = satisfies(process.version, range);
  const detail = `${process.version}, wanted ${range}`;
  return { check: "node", ok, detail, ...(ok ? {} : { hint: `Install a Node.js that satisfies ${range}.` }) };
}

async function memoryBroker(): Promise<Check> {
  const broker = brokerOf("memory:");
  try {
    const { durability, ordering } = await broker.open();
    await broker.close();
    const lost = durability === "none" ? ": messages end with the process" : "";
    return {
      check: "broker memory",
      ok: true,
      detail: `available, order per ${ordering}, durability ${durability}${lost}`,
    };
  } catch (error) {
    return failedCheck("broker memory", error, MODULE);
  }
}

/** A manifest is well when its agent starts: read, its module loaded, every handler bound. Its activity is not begun. */
async function agent(file: string, session: Session): Promise<Check> {
  const check = `manifest ${file}`;
  try {
    const [loaded] = await loadAgents([file], {
      broker: brokerOf("memory:"),
      logger: await session.logger(),
    });
    if (loaded === undefined) return failedCheck(check, new Error("Nothing was loaded."), MODULE);
    await loaded.agent.start();
    const subscriptions = loaded.agent.listSubscriptions().length;
    await loaded.agent.stop();
    return {
      check,
      ok: true,
      detail: `agent ${loaded.agent.agentId}, ${count(subscriptions, "subscription")} bound`,
    };
  } catch (error) {
    return failedCheck(check, error, MODULE);
  }
}

function print(checks: readonly Check[], output: Output): void {
  if (output.options.json) {
    for (const { check, ok, figures, ...rest } of checks)
      output.json({ check, status: ok ? "ok" : "failed", ...rest, ...figures });
    return;
  }
  for (const { check, ok, detail, hint } of checks) {
    const word = output.paint(ok ? "good" : "bad", ok ? "ok    " : "failed");
    const [first = "", ...more] = wrap(printable(`${check}: ${detail}`), output.width - 8);
    output.line(`${word}  ${first}`);
    for (const line of [...more, ...(hint === undefined ? [] : wrap(printable(hint), output.width - 8))])
      output.line(`        ${line}`);
  }
}
