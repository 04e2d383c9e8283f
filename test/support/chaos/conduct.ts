import type { HistoryEvent } from "../../../src/testing/checker/history.ts";
import { ProcessRun, type RunOptions, type RunResult } from "../../../src/testing/process/run.ts";
import { CRASH_POINTS, type Crash } from "../../../src/testing/process/spec.ts";
import { randomInt, seededRandom, shuffled, type Random } from "../../../src/testing/random.ts";
import { FLAP, KILL_CLIENT, KILL_SERVER, killClient, type Fault } from "./fault.ts";
import type { Stage } from "./stage.ts";

/** How much is done to a broker. */
export interface ChaosPlan {
  readonly seed: number;
  /** Clients to kill. */
  readonly cycles: number;
  readonly serverKills: number;
  readonly flaps: number;
  /** Messages to publish in all. */
  readonly messages: number;
  /** How many of the other faults there are for a hundred of those. Default 10. */
  readonly others?: number;
  /** Told of every event of the history, in order. */
  readonly emit?: (event: HistoryEvent) => void;
  readonly onProgress?: (line: string) => void;
}

/** What came of it. */
export interface ChaosReport {
  readonly broker: string;
  readonly seed: number;
  readonly ok: boolean;
  readonly published: number;
  readonly acknowledged: number;
  readonly handled: number;
  readonly deadLetters: number;
  readonly lost: number;
  /** Effects beyond the first of a message. */
  readonly duplicates: number;
  /** Handler starts beyond the first of a message. */
  readonly redelivered: number;
  readonly clientKills: number;
  readonly serverKills: number;
  readonly flaps: number;
  readonly faults: Readonly<Record<string, number>>;
  /** Faults of the matrix that do not apply here, and why. */
  readonly notApplicable: readonly string[];
  readonly anomalies: readonly {
    readonly anomaly: string;
    readonly count: number;
    readonly examples: readonly string[];
  }[];
  readonly vacuous: boolean;
  /** Processes that ended otherwise than they should. */
  readonly failures: readonly string[];
  readonly seconds: number;
}

// Most that may be granted and not have ended: a killed consumer must find work, and memory an end.
const MAX_BACKLOG = 20_000;
// High, because what a killed process held counts as tried.
const MAX_ATTEMPTS = 50;
// A poison message kills as many processes as it has attempts: only a long run has so many to give.
const POISON_FROM = 200;
// A strike hits work that goes on; where nothing goes on for so long, the end of the run will show why.
const MOVES_WITHIN_MS = 10_000;

/** Hurts a broker by a plan, lets it heal, and says what the checker found. */
export async function conduct(stage: Stage, plan: ChaosPlan): Promise<ChaosReport> {
  const random = seededRandom(plan.seed);
  const startedAt = performance.now();
  const run = await ProcessRun.start(optionsOf(stage, plan, random));
  const counts: Record<string, number> = {};
  try {
    const strikes = strikesOf(stage.faults, plan, random);
    const share = Math.ceil(plan.messages / strikes.length);
    for (const [at, fault] of strikes.entries()) {
      run.grant(Math.max(0, Math.min(share, plan.messages - at * share)));
      await moves(run);
      if (fault !== killClient) run.struck(fault.name);
      await fault.strike({ run, random });
      counts[fault.name] = (counts[fault.name] ?? 0) + 1;
      if (at % 50 === 49)
        plan.onProgress?.(
          `${at + 1} of ${strikes.length} strikes, ${run.kills} kills, ${run.progress.acked} acknowledged, ${run.progress.open} open`,
        );
    }
    // Those that died by their own hand count as well; whoever is missing is killed now.
    while (run.kills < plan.cycles) {
      // Whoever wrote a dead letter may have been killed before it could say so.
      await run.look();
      if (run.isDrained) run.grant(share);
      await moves(run);
      await killClient.strike({ run, random });
    }
    plan.onProgress?.("healed, draining");
    await run.drain();
    // What may be stored or not is sent again where ids are recognised; elsewhere others are published in its place.
    const missing = plan.messages - run.progress.acked;
    if (stage.dedupe === false && missing > 0) {
      run.grant(missing);
      await run.drain();
    }
    return reportOf(stage, plan, { ...(await run.finish()), counts, startedAt });
  } finally {
    await run.close();
  }
}

function optionsOf(stage: Stage, plan: ChaosPlan, random: Random): RunOptions {
  return {
    module: stage.child,
    own: stage.own,
    place: stage.place,
    ...(plan.emit === undefined ? {} : { emit: plan.emit }),
    ...(stage.address === undefined ? {} : { address: stage.address }),
    guarantee: "exactly-once",
    // Of a message that waits for its retry, or whose holder lost its lease, only a strict order says who comes first.
    ordering: stage.check.order === "none" ? "relaxed" : "strict",
    publishers: 2,
    consumers: 3,
    maxAttempts: MAX_ATTEMPTS,
    poisonEvery: plan.cycles >= POISON_FROM ? Math.max(1, Math.floor(plan.messages / 3)) : 0,
    repeatEvery: 25,
    dedupe: stage.dedupe ?? true,
    behaviour: { throws: 0.01, hangs: 0.0005, blocks: 0.0005, blockMs: 700, slow: 0.01, slowMs: 60 },
    memberOptions: ({ kind }) => (random() < 0.5 ? { crash: crashOf(kind, random) } : {}),
    check: {
      minAcked: Math.floor(plan.messages * 0.95),
      minFaults: plan.cycles + plan.serverKills + plan.flaps,
      // Whoever is held or cut off for longer than a lease settles what is another's by then.
      settlements: "late",
      ...stage.check,
    },
  };
}

function crashOf(kind: string, random: Random): Crash {
  const fitting = CRASH_POINTS.filter((point) => (kind === "publisher") === point.startsWith("publish"));
  return {
    point: fitting[randomInt(random, fitting.length)] as Crash["point"],
    nth: 1 + randomInt(random, 150),
  };
}

/** Every strike of the plan, in the order that the seed gives. */
function strikesOf(faults: readonly Fault[], plan: ChaosPlan, random: Random): Fault[] {
  const named = (name: string, count: number): Fault[] => {
    const fault = faults.find((one) => one.name === name);
    if (fault === undefined && count > 0)
      throw new Error(`This broker has nothing that '${name}' could strike.`);
    return Array.from({ length: count }, () => fault as Fault);
  };
  const others = faults.filter(({ name }) => ![KILL_CLIENT, KILL_SERVER, FLAP].includes(name));
  const main = [
    ...Array.from({ length: Math.ceil(plan.cycles / 2) }, () => killClient),
    ...named(KILL_SERVER, plan.serverKills),
    ...named(FLAP, plan.flaps),
  ];
  const count = Math.max(others.length, Math.round((main.length * (plan.others ?? 10)) / 100));
  return shuffled(random, [
    ...main,
    ...Array.from({ length: count }, (_none, at) => others[at % others.length] as Fault),
  ]);
}

/** Something was acknowledged and something took effect since the last strike, and the backlog is bounded. */
async function moves(run: ProcessRun): Promise<void> {
  const { acked, ended } = run.progress;
  const endsAt = performance.now() + MOVES_WITHIN_MS;
  const isMoving = () =>
    run.progress.open <= MAX_BACKLOG &&
    (run.isDrained || (run.progress.acked > acked && run.progress.ended > ended));
  while (!isMoving() && performance.now() < endsAt) await new Promise((resolve) => setTimeout(resolve, 5));
}

function reportOf(
  stage: Stage,
  plan: ChaosPlan,
  result: RunResult & { readonly counts: Readonly<Record<string, number>>; readonly startedAt: number },
): ChaosReport {
  const { verdict, counts } = result;
  const { tally } = verdict;
  const doubled = verdict.findings.find(({ anomaly }) => anomaly === "duplicate-effect");
  return {
    broker: stage.name,
    seed: plan.seed,
    ok: verdict.ok && result.failures.length === 0,
    published: tally.attempted,
    acknowledged: tally.acked,
    handled: tally.handled,
    deadLetters: result.deadLetters,
    lost: tally.lost,
    duplicates: doubled?.count ?? 0,
    redelivered: result.redelivered,
    clientKills: result.kills,
    serverKills: counts[KILL_SERVER] ?? 0,
    flaps: counts[FLAP] ?? 0,
    faults: counts,
    notApplicable: stage.notApplicable,
    anomalies: verdict.findings,
    vacuous: verdict.vacuous,
    failures: result.failures,
    seconds: Math.round((performance.now() - result.startedAt) / 100) / 10,
  };
}
