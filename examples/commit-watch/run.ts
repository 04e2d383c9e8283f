import path from "node:path";
import { loadAgents, MessagingService } from "../../src/index.ts";
import type { HistoryEnd } from "./channels.ts";
import { DrillBroker } from "./drill-broker.ts";
import { Operator, type Reading, type Treated } from "./operator.ts";
import type { Options } from "./options.ts";
import { summaryOf, type Summary } from "./summary.ts";
import { accountOf, totalOf } from "./terminal/account.ts";
import { tellEvents } from "./terminal/events.ts";
import type { Screen } from "./terminal/screen.ts";
import { tableOf } from "./terminal/table.ts";

const MANIFESTS = ["commit-source.yaml", "security-scanner.yaml", "triage.yaml"];
const DRAIN_MS = 5000;
const LOOK_MS = 50;

/** Everybody who takes part. */
interface Team {
  /** In the order of the manifests, then the operator's. */
  readonly all: readonly MessagingService[];
  readonly operator: Operator;
}

/** Runs the example from the first message to the summary. `signal`: stop reading, handle what was published, sum up. */
export async function runExample(options: Options, screen: Screen, signal: AbortSignal): Promise<Summary> {
  const team = await assemble((line) => screen.say(line));
  const stopTelling = tellEvents((line) => screen.say(line));
  const stopDrawing = draw(team, screen);
  try {
    return await conduct(team, { options, screen, signal });
  } finally {
    stopDrawing();
    stopTelling();
    screen.end();
    await Promise.all(team.all.map((agent) => agent.stop()));
  }
}

/** Three agents from their manifests and the operator, all on one broker. */
async function assemble(say: (line: string) => void): Promise<Team> {
  const broker = new DrillBroker();
  const files = MANIFESTS.map((name) => path.join(import.meta.dirname, name));
  const loaded = await loadAgents(files, { broker });
  const desk = new MessagingService({ agentId: "operator", broker });
  const all = [...loaded.map(({ agent }) => agent), desk];
  for (const agent of all) await agent.start();
  for (const { started } of loaded) await started();
  return { all, operator: new Operator(desk, say) };
}

interface Run {
  readonly options: Options;
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

async function conduct(team: Team, { options, screen, signal }: Run): Promise<Summary> {
  const startedAt = performance.now();
  const { operator } = team;
  const { json: _json, help: _help, ...wanted } = options;
  const { reading, ended } = await operator.read(wanted);
  screen.say(announcement(reading));
  const interrupted = aborted(signal);
  const end = await Promise.race([ended, interrupted]);
  let treated: readonly Treated[] = [];
  if (end !== undefined) {
    await operator.idle();
    treated = await operator.treatDeadLetters();
    if (options.watch && reading.origin === "git" && end.state === "consumed") {
      screen.say("watching  for new commits; Ctrl-C ends");
      await interrupted;
    }
  }
  await windDown(team, signal, screen);
  const [tally, gaps] = await Promise.all([operator.tally(), operator.gaps()]);
  await operator.idle(DRAIN_MS);
  return summaryOf({
    reading,
    ...stateOf(end, signal),
    durationMs: performance.now() - startedAt,
    channels: await accountOf(team.all),
    treated: [...treated, ...(await operator.leftovers())],
    tally,
    gaps,
  });
}

/** After an interruption: nothing more is read, and what was published is handled. */
async function windDown(
  { all: [source], operator }: Team,
  signal: AbortSignal,
  screen: Screen,
): Promise<void> {
  if (!signal.aborted) return;
  const waiting = await operator.waiting();
  screen.say(
    `draining  nothing more is read, messages still to handle: ${waiting}; Ctrl-C again ends at once`,
  );
  await source?.stop();
  await operator.idle(DRAIN_MS);
}

function stateOf(
  end: HistoryEnd | undefined,
  signal: AbortSignal,
): Pick<Summary, "state"> & { failure: string | undefined } {
  if (end?.state === "failed") return { state: "failed", failure: end.reason };
  return { state: signal.aborted || end === undefined ? "interrupted" : "consumed", failure: undefined };
}

function announcement({ origin, repository, reason }: Reading): string {
  if (origin === "git") return `history   of ${repository}`;
  return `history   of ${repository} cannot be read (${reason}): the sample that comes with the example is used`;
}

/** Draws how things stand until it is told to stop. */
function draw({ all }: Team, screen: Screen): () => void {
  let drawing = false;
  const look = async (): Promise<void> => {
    if (drawing) return;
    drawing = true;
    const rows = await accountOf(all);
    screen.show(
      (width) => tableOf(rows, width),
      () => {
        const { handled, waiting, retried, deadLettered } = totalOf(rows);
        const commits = rows.find(({ channel }) => channel === "code.commits")?.handled ?? 0;
        return `so far    commits scanned: ${commits}, messages handled: ${handled}, waiting: ${waiting}, retried: ${retried}, dead letters: ${deadLettered}`;
      },
    );
    drawing = false;
  };
  const timer = setInterval(() => void look(), LOOK_MS);
  return () => clearInterval(timer);
}

function aborted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined), { once: true }));
}
