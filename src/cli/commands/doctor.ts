import { describeThrown, isHeraldError } from "../../core/errors.ts";
import { brokerOf } from "../../service/broker-url.ts";
import { loadAgents } from "../../service/load-agents.ts";
import { satisfies } from "../engines.ts";
import { EXIT } from "../exit-codes.ts";
import { failureOf } from "../failure.ts";
import type { Output } from "../output.ts";
import { packageInfo } from "../package-info.ts";
import type { Session } from "../session.ts";
import { count, printable, wrap } from "../text.ts";

/** What `herald doctor` was given. */
export interface DoctorCommand {
  readonly manifest: readonly string[];
}

interface Check {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
  /** What to do where it does not hold. */
  readonly hint?: string;
}

/** Looks at Node, the brokers and the manifests given, and says what does not hold: exit code 3. */
export async function doctor({ manifest }: DoctorCommand, session: Session): Promise<number> {
  const checks = [herald(), node(), await memoryBroker()];
  for (const file of manifest) checks.push(await agent(file, session));
  print(checks, session.output);
  return checks.every(({ ok }) => ok) ? EXIT.done : EXIT.check;
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
    return failed("broker memory", error);
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
    if (loaded === undefined) return failed(check, new Error("Nothing was loaded."));
    await loaded.agent.start();
    const subscriptions = loaded.agent.listSubscriptions().length;
    await loaded.agent.stop();
    return {
      check,
      ok: true,
      detail: `agent ${loaded.agent.agentId}, ${count(subscriptions, "subscription")} bound`,
    };
  } catch (error) {
    return failed(check, error);
  }
}

function failed(check: string, error: unknown): Check {
  const hint = isHeraldError(error)
    ? failureOf(error).hint
    : "Correct the agent's module; its code is run as it stands.";
  return { check, ok: false, detail: describeThrown(error), hint };
}

function print(checks: readonly Check[], output: Output): void {
  if (output.options.json) {
    for (const { check, ok, ...rest } of checks)
      output.json({ check, status: ok ? "ok" : "failed", ...rest });
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
