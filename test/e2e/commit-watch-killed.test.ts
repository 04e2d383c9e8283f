import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { JOURNAL, SCANNED, VULNERABILITIES } from "../../examples/commit-watch/channels.ts";
import { KEPT_MS } from "../../examples/commit-watch/kept-log.ts";
import type { Summary } from "../../examples/commit-watch/summary.ts";
import { FileBroker } from "../../src/brokers/file/broker.ts";
import { GitRepository } from "../support/git-repository.ts";
import { run, type Ran } from "../support/run.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
const MAIN = path.join(ROOT, "examples/commit-watch/main.ts");
const COMMITS = 200;
const SEED = 20_260_101;
/** Of one run at random times. */
const MIN_KILLS = 3;
const MAX_KILLS = 4;
const NEVER = 60_000;

/** Put together here, so that no scanner finds it in this file. Every third is the same as one before. */
function secretOf(at: number): string {
  const end = String.fromCodePoint(65 + ((at % 60) % 26), 65 + Math.floor((at % 60) / 26));
  if (at % 10 === 0) return `KEY=${["AKIA", `Q3EGPLANTED2XY${end}`].join("")}`;
  if (at % 15 === 0) return `apiKey = "${["q8Zr1", "Lw0Xc5", "Vt2Nb9", `Km4P${end}`].join("")}"`;
  return `line ${at}`;
}

/** What a summary says of the run, whatever happened to its starts. Ids of incidents hold the run's own key. */
function totalsOf(ran: Pick<Ran, "stdout">) {
  const { state, origin, commitsScanned, findings, incidents, notScanned, totals } = JSON.parse(
    ran.stdout,
  ) as Summary;
  return {
    state,
    origin,
    commitsScanned,
    findings,
    incidents: incidents.map(({ id: _id, ...incident }) => incident),
    notScanned,
    deadLettersLeft: totals.deadLettersLeft,
    waiting: totals.waiting,
  };
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Milliseconds count from the first word that it says: before, there is nothing to lose. */
type Moment = { readonly afterMs: number } | { readonly said: (output: string) => boolean };

interface StopOptions {
  readonly signal?: NodeJS.Signals;
  readonly json?: boolean;
  /** Another repository than the common one. */
  readonly folder?: string;
}

interface Stopped {
  readonly signal: NodeJS.Signals | null;
  readonly code: number | null;
  readonly stdout: string;
  /** From its first word to its end. */
  readonly workMs: number;
  /** Both streams. */
  readonly output: string;
}

const scannedSoFar = (output: string): number =>
  Math.max(0, ...[...output.matchAll(/commits scanned: (\d+)/g)].map(([, count]) => Number(count)));

describe("commit-watch that is killed and started again", () => {
  const data = mkdtempSync(path.join(tmpdir(), "herald-killed-"));
  let repository: GitRepository;
  let whole: ReturnType<typeof totalsOf>;
  let wholeMs: number;

  beforeAll(async () => {
    repository = new GitRepository();
    repository.fill(COMMITS, secretOf);
    const undisturbed = await startAndStop("whole", { afterMs: NEVER }, { json: true });
    whole = totalsOf(undisturbed);
    wholeMs = undisturbed.workMs;
  });
  afterAll(() => {
    repository[Symbol.dispose]();
    rmSync(data, { recursive: true, force: true });
  });

  const argsOf = (name: string, folder = repository.folder): string[] => [
    MAIN,
    folder,
    "--data",
    path.join(data, name),
  ];
  const finish = (name: string, folder?: string): Promise<Ran> =>
    run(process.execPath, [...argsOf(name, folder), "--json"], { cwd: ROOT });

  /** Starts, and sends a signal at a moment; resolves when it has ended. */
  function startAndStop(
    name: string,
    moment: Moment,
    { signal = "SIGKILL", json = false, folder }: StopOptions = {},
  ): Promise<Stopped> {
    const args = [...argsOf(name, folder), ...(json ? ["--json"] : [])];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let stdout = "";
    let isSent = false;
    const stop = (): void => {
      if (!isSent) child.kill(signal);
      isSent = true;
    };
    let timer: NodeJS.Timeout | undefined;
    let spokeAt = Infinity;
    const onOutput = (chunk: Buffer): void => {
      output += chunk.toString();
      spokeAt = Math.min(spokeAt, performance.now());
      if ("afterMs" in moment) timer ??= setTimeout(stop, moment.afterMs);
      if ("said" in moment && moment.said(output)) stop();
    };
    child.stdout.on("data", onOutput).on("data", (chunk) => (stdout += chunk));
    child.stderr.on("data", onOutput);
    return new Promise((resolve) =>
      child.on("close", (code, by) => {
        clearTimeout(timer);
        resolve({ signal: by, code, output, stdout, workMs: performance.now() - spokeAt });
      }),
    );
  }

  /** Looks into the store: every effect is there, and once. */
  async function expectNothingTwice(name: string): Promise<void> {
    const broker = new FileBroker({
      directory: path.join(data, name, "broker"),
      dedupeWindowMs: KEPT_MS,
    });
    await broker.open();
    try {
      const { high, medium } = whole.findings;
      for (const [channel, count] of [
        [SCANNED.channel, COMMITS],
        [VULNERABILITIES.channel, high + medium],
        // One entry for each finding that was counted, one for each that belongs to an incident.
        [JOURNAL.channel, high + medium + high],
      ] as const) {
        const stored = await broker.admin.browse(channel, { limit: 10_000 });
        const ids = stored.map(({ envelope }) => envelope.id);
        expect({ channel, effects: ids.length, different: new Set(ids).size }).toEqual({
          channel,
          effects: count,
          different: count,
        });
      }
      const { channels } = await broker.inspect();
      const lags = channels.flatMap(({ groups }) => groups.map(({ lag }) => lag));
      expect(lags.every((lag) => lag === 0)).toBe(true);
    } finally {
      await broker.close();
    }
  }

  it("has something to lose", () => {
    expect(whole).toMatchObject({
      state: "consumed",
      commitsScanned: COMMITS,
      deadLettersLeft: 0,
      waiting: 0,
    });
    expect(whole.findings.high).toBe(20);
    expect(whole.findings.medium).toBe(7);
    expect(whole.incidents.length).toBeGreaterThan(3);
    expect(whole.incidents.every(({ sightings }) => sightings > 1)).toBe(true);
  });

  it.each<[string, (output: string) => boolean]>([
    ["it had begun to read", (output) => output.includes("history   of")],
    ["the first commits were scanned", (output) => scannedSoFar(output) >= 1],
    ["half of the commits were scanned", (output) => scannedSoFar(output) >= COMMITS / 2],
    ["a commit had become a dead letter", (output) => output.includes("HANDLER_FAILED")],
    ["the operator had begun to treat the dead letters", (output) => output.includes("operator  ")],
  ])("ends with the same totals after it was killed when %s", async (when, said) => {
    const name = when.replaceAll(" ", "-");
    const killed = await startAndStop(name, { said });
    expect(killed.signal).toBe("SIGKILL");
    const ran = await finish(name);
    expect(ran.stderr).toMatch(/^resumed   the run of .* had not ended: \d+ commits are scanned already\n/);
    expect(totalsOf(ran)).toEqual(whole);
    expect((JSON.parse(ran.stdout) as Summary).run).toMatchObject({ starts: 2, resumed: true });
    await expectNothingTwice(name);
  });

  it.each([1, 2])("ends with the same totals after it was killed at random times, draw %i", async (draw) => {
    const random = randomOf(SEED + draw);
    const name = `random-${draw}`;
    let windowMs = wholeMs / 2;
    let kills = 0;
    let last: Stopped;
    for (;;) {
      const afterMs = kills === MAX_KILLS ? NEVER : random() * windowMs;
      last = await startAndStop(name, { afterMs }, { json: true });
      if (last.signal === "SIGKILL") kills++;
      else if (kills >= MIN_KILLS) break;
      else {
        // It was too fast, and came to its end: the next start begins a new run.
        windowMs /= 2;
        kills = 0;
      }
    }
    expect({ draw, ...totalsOf(last) }).toEqual({ draw, ...whole });
    await expectNothingTwice(name);
    expect((JSON.parse(last.stdout) as Summary).run.starts).toBe(kills + 1);
  });

  it("ends with the same totals after Ctrl-C, which leaves the rest for the next start", async () => {
    using long = new GitRepository();
    long.fill(1000);
    const interrupted = await startAndStop(
      "interrupted",
      { afterMs: 0 },
      { signal: "SIGINT", folder: long.folder },
    );
    expect(interrupted.code).toBe(130);
    expect(interrupted.output).toMatch(/Commits +\d{1,3} scanned \(interrupted\)/);
    const ran = await finish("interrupted", long.folder);
    expect(ran.stderr).toMatch(/^resumed   the run of /);
    expect(totalsOf(ran)).toMatchObject({
      state: "consumed",
      commitsScanned: 1000,
      deadLettersLeft: 0,
      waiting: 0,
    });
  });

  it("refuses a second start in the same folder, which changes nothing for the first", async () => {
    const first = spawn(process.execPath, [...argsOf("twice"), "--watch"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(first, "close");
    await once(first.stdout, "data");
    first.stdout.resume();
    const second = await finish("twice");
    expect(second).toMatchObject({ code: 75, stdout: "" });
    expect(second.stderr).toMatch(/^Another start works on the run in .* --data\.\n$/);
    first.kill("SIGINT");
    expect(await ended).toEqual([130, null]);
    expect(totalsOf(await finish("twice"))).toEqual(whole);
    await expectNothingTwice("twice");
  });
});
