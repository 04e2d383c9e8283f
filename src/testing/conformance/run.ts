import type { Capabilities } from "../../core/broker.ts";
import { check } from "../checker/check.ts";
import type { CheckOptions } from "../checker/options.ts";
import { describeVerdict, type Verdict } from "../checker/verdict.ts";
import { RealTime, SteppedTime, type TestTime } from "../time.ts";
import { abilitiesOf, traitsOf } from "./abilities.ts";
import { CASES } from "./cases/index.ts";
import { CaseContext, newPlace } from "./context.ts";
import type { ConformanceCase } from "./case.ts";
import type { Harness, Need } from "./harness.ts";
import type { CaseResult, ConformanceReport } from "./report.ts";

/** How a run of the suite may be steered. */
export interface RunOptions {
  /** Only cases that this accepts. */
  readonly only?: (id: string) => boolean;
  /** Called after every case. */
  readonly onResult?: (result: CaseResult) => void;
  /** Stops at the first case that fails. */
  readonly bail?: boolean;
  /** Cases that this accepts are run before the others. */
  readonly first?: (id: string) => boolean;
}

const TIMEOUT_MS = 120_000;

/** Runs every case against a broker, one after another, and reports. Never rejects for a failing case. */
export async function runConformance(harness: Harness, options: RunOptions = {}): Promise<ConformanceReport> {
  const seed = harness.seed ?? Date.now() % 2 ** 32;
  const probe = await probeAbilities(harness);
  const cases: CaseResult[] = [];
  for (const one of inOrder(options)) {
    const result = await runCase({ ...harness, seed }, one);
    cases.push(result);
    options.onResult?.(result);
    if (result.status === "failed" && options.bail === true) break;
  }
  const lacking = cases.flatMap(({ case: id, ability }) =>
    ability === undefined ? [] : [{ case: id, ability }],
  );
  return {
    broker: harness.name,
    passed: cases.filter(({ status }) => status === "passed").length,
    failed: cases.filter(({ status }) => status === "failed").length,
    notApplicable: lacking,
    cases,
    abilities: probe.capabilities,
    traits: traitsOf(probe.abilities),
    seed,
  };
}

function inOrder({ only = () => true, first = () => true }: RunOptions): ConformanceCase[] {
  const chosen = CASES.filter(({ id }) => only(id));
  return [...chosen.filter(({ id }) => first(id)), ...chosen.filter(({ id }) => !first(id))];
}

/** What the broker can do, found by opening one. */
async function probeAbilities(
  harness: Harness,
): Promise<{ capabilities: Capabilities; abilities: ReadonlySet<Need> }> {
  const broker = await harness.create({ place: newPlace() });
  const capabilities = await broker.open();
  const abilities = abilitiesOf(harness, broker, capabilities);
  await broker.close();
  return { capabilities, abilities };
}

/** Runs one case with a broker of its own. Never rejects. */
export async function runCase(harness: Harness, one: ConformanceCase): Promise<CaseResult> {
  const startedAt = performance.now();
  const ended = (rest: Omit<CaseResult, "case" | "title" | "durationMs">): CaseResult => ({
    case: one.id,
    title: one.title,
    durationMs: Math.round(performance.now() - startedAt),
    ...rest,
  });
  const watch = watchRejections();
  try {
    const context = await prepare(harness, one);
    if (!(context instanceof CaseContext)) return ended({ status: "notApplicable", ability: context.lacks });
    const error = await attempt(one, context);
    const verdict = check(context.history.events, checkOptions(one, context));
    const problems = [...error, ...watch.found(), ...(verdict.ok ? [] : [describeVerdict(verdict)])];
    if (problems.length === 0) return ended({ status: "passed" });
    return ended({ status: "failed", error: problems.join("; "), anomalies: anomaliesOf(verdict) });
  } catch (error) {
    return ended({ status: "failed", error: describe(error), anomalies: [] });
  } finally {
    watch.stop();
  }
}

async function prepare(
  harness: Harness,
  one: ConformanceCase,
): Promise<CaseContext | { readonly lacks: Need }> {
  const time = timeOf(harness, one);
  const place = newPlace();
  const clock = time.isStepped ? { clock: time.clock } : {};
  const broker = await harness.create({ place, ...clock, longLeases: one.longLeases ?? false });
  const capabilities = await broker.open();
  const abilities = abilitiesOf(harness, broker, capabilities);
  const lacks = one.needs?.find((need) => !abilities.has(need));
  if (lacks !== undefined) {
    await broker.close();
    return { lacks };
  }
  return new CaseContext({
    harness,
    id: one.id,
    place,
    broker,
    capabilities,
    abilities,
    time,
    seed: harness.seed ?? 1,
  });
}

function timeOf(harness: Harness, one: ConformanceCase): TestTime {
  const { patienceMs } = harness;
  const clock = one.stepped === true ? harness.clock?.() : undefined;
  if (clock !== undefined) return new SteppedTime(clock);
  return new RealTime(patienceMs === undefined ? {} : { patienceMs });
}

/** Runs the case and its end; what went wrong, in words. */
async function attempt(one: ConformanceCase, context: CaseContext): Promise<string[]> {
  const problems: string[] = [];
  const run = async (step: () => Promise<void>) => {
    try {
      await within(step(), one.timeoutMs ?? TIMEOUT_MS);
    } catch (error) {
      problems.push(describe(error));
    }
  };
  await run(() => one.run(context));
  await run(() => context.finish());
  return problems;
}

async function within(promise: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`The case did not end within ${timeoutMs} ms.`)), timeoutMs);
  });
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function checkOptions(one: ConformanceCase, context: CaseContext): CheckOptions {
  return {
    order: context.has("keyOrder") ? "relaxed" : "none",
    attempts: context.has("exactAttempts") ? "exact" : "growing",
    ...one.check,
    minFaults: context.count(one.faults ?? 0, 1),
    minAcked: context.count(one.acked),
  };
}

function anomaliesOf(verdict: Verdict): string[] {
  return [...verdict.findings.map(({ anomaly }) => anomaly), ...(verdict.vacuous ? ["vacuous"] : [])];
}

/** A rejection that nobody handles is a failure of the case it happens in. */
function watchRejections(): { found(): string[]; stop(): void } {
  const reasons: string[] = [];
  const listener = (reason: unknown) => void reasons.push(`unhandled rejection: ${describe(reason)}`);
  process.on("unhandledRejection", listener);
  return { found: () => reasons, stop: () => process.off("unhandledRejection", listener) };
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" && code !== "ERR_ASSERTION" ? `${code}: ${error.message}` : error.message;
}
