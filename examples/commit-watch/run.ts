import { assemble, type Team } from "./assemble.ts";
import type { HistoryEnd } from "./channels.ts";
import { probeGit } from "./history/git.ts";
import type { Reading, Treated } from "./operator.ts";
import type { Options } from "./options.ts";
import { RunFolder } from "./run-folder.ts";
import { summaryOf, type Summary } from "./summary.ts";
import { accountOf, totalOf } from "./terminal/account.ts";
import { tellEvents } from "./terminal/events.ts";
import type { Screen } from "./terminal/screen.ts";
import { tableOf } from "./terminal/table.ts";

const DRAIN_MS = 5000;
const LOOK_MS = 50;

/**
 * Runs the example from the first message to the summary, or goes on where a start stopped that was killed. `signal`: stop
 * reading, handle what was published, sum up. Rejects with UsageError when the folder of the run cannot be used.
 */
export async function runExample(options: Options, screen: Screen, signal: AbortSignal): Promise<Summary> {
  const folder = await openFolder(options);
  try {
    return await start(folder, { options, screen, signal });
  } finally {
    folder.close();
  }
}

interface Run {
  readonly options: Options;
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

async function openFolder({ data, repository, limit, fresh }: Options): Promise<RunFolder> {
  const probe = await probeGit(repository);
  const head = "head" in probe ? probe.head : null;
  return RunFolder.open(data, { repository, limit: limit ?? null, head }, fresh);
}

async function start(folder: RunFolder, run: Run): Promise<Summary> {
  const { screen } = run;
  const stopTelling = tellEvents((line) => screen.say(line));
  const team = await assemble(folder, (line) => screen.say(line));
  const stopDrawing = draw(team, screen);
  try {
    return await conduct(team, folder, run);
  } finally {
    stopDrawing();
    stopTelling();
    screen.end();
    await Promise.all(team.all.map((agent) => agent.stop()));
  }
}

async function conduct(team: Team, folder: RunFolder, { options, screen, signal }: Run): Promise<Summary> {
  const startedAt = performance.now();
  const { operator } = team;
  const { repository, limit, watch } = options;
  const { head } = folder.subject;
  const { reading, ended } = await operator.read({
    repository,
    watch,
    ...(limit === undefined ? {} : { limit }),
    ...(head === null ? {} : { upTo: head }),
  });
  screen.say(announcement(reading));
  const interrupted = aborted(signal);
  const end = await Promise.race([ended, interrupted]);
  let treated: readonly Treated[] = [];
  if (end !== undefined) {
    await operator.idle();
    treated = await operator.treatDeadLetters();
    if (watch && reading.origin === "git" && end.state === "consumed") {
      screen.say("watching  for new commits; Ctrl-C ends");
      await interrupted;
    }
  }
  await windDown(team, signal, screen);
  const [tally, gaps, scans] = await Promise.all([operator.tally(), operator.gaps(), operator.scans()]);
  const isIdle = await operator.idle(DRAIN_MS);
  if (end?.state === "consumed" && isIdle) folder.finish();
  return summaryOf({
    reading,
    run: folder,
    ...stateOf(end, signal),
    durationMs: performance.now() - startedAt,
    channels: await accountOf(team.all, team.carried),
    treated: [...treated, ...(await operator.leftovers())],
    scans,
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
function draw({ all, operator, carried }: Team, screen: Screen): () => void {
  let drawing = false;
  const look = async (): Promise<void> => {
    if (drawing) return;
    drawing = true;
    const rows = await accountOf(all, carried);
    screen.show(
      (width) => tableOf(rows, width),
      () => {
        const { handled, waiting, retried, deadLettered } = totalOf(rows);
        return `so far    commits scanned: ${operator.scanned}, messages handled: ${handled}, waiting: ${waiting}, retried: ${retried}, dead letters: ${deadLettered}`;
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
