import { systemClock } from "../../core/clock.ts";
import type { Broker } from "../../core/broker.ts";
import { Checker } from "../checker/check.ts";
import type { DeadLetterCause, HistoryEvent } from "../checker/history.ts";
import type { CheckOptions } from "../checker/options.ts";
import type { Verdict } from "../checker/verdict.ts";
import type { Address, ChildModule } from "../conformance/harness.ts";
import type { PortDeadLetter, ServicePort } from "../service-port.ts";
import { RealTime } from "../time.ts";
import type { ChildEnd } from "./child-process.ts";
import { Crew, type CrewRole, type Member, type MemberOptions } from "./crew.ts";
import { EffectReader } from "./effects.ts";
import { Progress } from "./progress.ts";
import { Slot } from "./slot.ts";
import type { Behaviour } from "./spec.ts";

/** What a run of processes is about. */
export interface RunOptions {
  /** URL of the `ChildModule`, for the processes. */
  readonly module: string;
  /** The same for this process, which reads the effects and the dead letters. */
  readonly own: ChildModule;
  readonly place: string;
  /** Processes reach the server here; the run itself reaches it where it is. */
  readonly address?: Address;
  readonly guarantee: "at-least-once" | "exactly-once";
  /** Default `relaxed`. */
  readonly ordering?: "relaxed" | "strict";
  readonly publishers: number;
  readonly consumers: number;
  /** Default 8. */
  readonly inFlight?: number;
  /** Every so many messages one that kills who handles it. Default 0: none. */
  readonly poisonEvery?: number;
  /** Every so many messages one is published a second time under its id. Default 0: none. */
  readonly repeatEvery?: number;
  readonly delayUpToMs?: number;
  readonly behaviour?: Behaviour;
  /** Default 10. */
  readonly maxAttempts?: number;
  /** Default 16. */
  readonly maxConcurrency?: number;
  /** Default 64. */
  readonly prefetch?: number;
  /** Default 2000. */
  readonly handlerTimeoutMs?: number;
  /** Told of every event of the history, in order. */
  readonly emit?: (event: HistoryEvent) => void;
  /** Asked for every process that starts. */
  readonly memberOptions?: (role: CrewRole) => MemberOptions;
  /** What the history is held to, beside the guarantee. */
  readonly check?: CheckOptions;
  /** Does the broker recognise ids published again? Default true. */
  readonly dedupe?: boolean;
}

/** What a run came to. */
export interface RunResult {
  readonly verdict: Verdict;
  /** Messages whose publish was acknowledged. */
  readonly acked: number;
  /** Handler starts beyond the first of a message. */
  readonly redelivered: number;
  /** Processes that ended by SIGKILL. */
  readonly kills: number;
  /** Processes that ended in another way while they should have stood, with what they said. */
  readonly failures: readonly string[];
  readonly deadLetters: number;
}

/** The channel of a run, and the group that handles it. */
export const CHANNEL = "run.work";
export const GROUP = "workers";
const EFFECTS = "run.effects";
// Nothing has come for so long: the rest is not coming.
const STALLED_MS = 30_000;
// Late effects of those that were asked to stop.
const QUIET_MS = 400;
// Open messages that a run which stands still names.
const SHOWN = 5;
const CAUSES: Readonly<Record<string, DeadLetterCause>> = {
  HANDLER_FAILED: "attempts",
  HANDLER_TIMEOUT: "attempts",
};

/** Publishers and consumers in processes of their own, replaced when they die, and what the checker says of them. */
export class ProcessRun {
  readonly crew: Crew;
  readonly progress = new Progress();
  readonly slots: readonly Slot[];
  readonly #options: RunOptions;
  readonly #checker: Checker;
  readonly #effects: EffectReader | undefined;
  readonly #service: ServicePort;
  readonly #failures: string[] = [];
  readonly #refusals = new Map<string, string>();
  readonly #time = new RealTime();
  #kills = 0;
  #closed: Promise<void> | undefined;

  private constructor(options: RunOptions, broker: Broker) {
    const isExact = options.guarantee === "exactly-once";
    this.#options = options;
    this.#checker = new Checker({
      guarantee: options.guarantee,
      redelivery: "free",
      attempts: "growing",
      zombies: true,
      earlyToleranceMs: 5,
      ...options.check,
    });
    this.crew = new Crew({
      module: options.module,
      place: options.place,
      ...(options.address === undefined ? {} : { address: options.address }),
      emit: (event) => {
        this.#checker.add(event);
        options.emit?.(event);
      },
      heard: (event) => this.#heard(event),
    });
    // It looks after the dead letters; the reader of effects has the broker to itself otherwise.
    this.#service = options.own.createService({ agentId: "watch", broker });
    if (isExact)
      this.#effects = new EffectReader(broker, (id) =>
        this.crew.note({ type: "commit.ok", id, group: GROUP }),
      );
    this.slots = rolesOf(options).map(
      (role) =>
        new Slot(
          this.crew,
          role,
          () => options.memberOptions?.(role) ?? {},
          (end, member) => this.#ended(end, member),
        ),
    );
  }

  /** Resolves once every process stands. */
  static async start(options: RunOptions): Promise<ProcessRun> {
    const run = new ProcessRun(options, await options.own.createBroker(options.place));
    await run.#service.start();
    run.crew.note({ type: "subscribe", group: GROUP, pattern: CHANNEL, from: "earliest" });
    // The group stands before the first message, or what is published before it comes late would not be its own.
    for (const slot of run.consumers) await slot.fill();
    await run.#effects?.start(EFFECTS);
    for (const slot of run.publishers) await slot.fill();
    return run;
  }

  get publishers(): readonly Slot[] {
    return this.slots.filter(({ role }) => role.kind === "publisher");
  }

  get consumers(): readonly Slot[] {
    return this.slots.filter(({ role }) => role.kind === "consumer");
  }

  /** Processes that ended by SIGKILL. */
  get kills(): number {
    return this.#kills;
  }

  /** Lets the publishers publish so many messages more, all together. */
  grant(count: number): void {
    const { publishers } = this.#options;
    for (let at = 0; at < publishers; at++) {
      const share = Math.floor((count + at) / publishers);
      if (share > 0) this.crew.grant(`p${at}`, share);
    }
  }

  /** A fault that something else than a dying process is. */
  struck(fault: string): void {
    this.crew.note({ type: "nemesis", fault });
  }

  /** Counts what lies in the dead letters: whoever wrote the last of them may have been killed before it could say so. */
  async look(): Promise<void> {
    // Where the dead letters cannot be seen now, they can be later.
    const letters = await this.#deadLetters().catch(() => []);
    for (const { id } of letters) this.progress.died(id);
  }

  /** All faults are over: resolves once everything that was granted is published and ended, or nothing moves any more. */
  async drain(stalledMs: number = STALLED_MS): Promise<void> {
    this.crew.note({ type: "heal" });
    let last = -1;
    let movedAt = performance.now();
    let lookedAt = movedAt;
    while (!this.isDrained) {
      const { acked, ended } = this.progress;
      const now = performance.now();
      // Whoever dies of a message has tried it: that goes on until its attempts are over.
      const moved = acked + ended + this.#kills;
      if (moved !== last) movedAt = now;
      last = moved;
      if (now - movedAt > stalledMs) return this.#gaveUp(stalledMs);
      if (now - movedAt > QUIET_MS && now - lookedAt > QUIET_MS) {
        lookedAt = now;
        await this.look();
      }
      await this.#time.elapse(20);
    }
  }

  /** Asks everybody to stop, and judges. The run is over after this. */
  async finish(): Promise<RunResult> {
    await Promise.all(this.slots.map((slot) => slot.empty()));
    await this.#quiet();
    const letters = await this.#deadLetters();
    for (const { id, code } of letters)
      this.crew.note({ type: "dlq", id, group: GROUP, cause: CAUSES[code] ?? "rejected" });
    const { acked, starts } = this.progress;
    await this.close();
    const verdict = this.#checker.finish();
    return {
      verdict,
      acked,
      redelivered: starts - verdict.tally.started,
      kills: this.#kills,
      failures: this.#failures,
      deadLetters: letters.length,
    };
  }

  /** Ends everything, whatever it does. Idempotent. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    for (const slot of this.slots) slot.giveUp();
    await this.crew.end();
    await this.#effects?.end();
    await this.#service.stop({ gracePeriodMs: 0 });
  }

  /** Everything that was granted is published and has ended. */
  get isDrained(): boolean {
    const { publishers } = this.#options;
    for (let at = 0; at < publishers; at++) if (!this.crew.writer(`p${at}`).isDone) return false;
    return this.progress.open === 0;
  }

  /** What stands still is told with what the publishers last heard: the checker sees only what was published. */
  #gaveUp(stalledMs: number): void {
    const stuck = this.publishers.flatMap(({ role, member }) => {
      const book = this.crew.writer((role as { readonly writer: string }).writer);
      if (book.isDone) return [];
      const last = this.#refusals.get((role as { readonly writer: string }).writer) ?? "nothing";
      return [
        `${member?.name ?? "nobody"} has ${book.open().length} open after ${book.next} of ${book.granted}, last refused with ${last}`,
      ];
    });
    const { open, starts } = this.progress;
    const state = [
      `${open} open (${this.progress.openIds(SHOWN).join(" ")})`,
      `${starts} starts, ${this.#kills} kills`,
      `${this.slots.filter(({ member }) => member !== undefined).length} of ${this.slots.length} stand`,
      ...stuck,
    ];
    this.#failures.push(`nothing moved for ${stalledMs} ms: ${state.join("; ")}`);
  }

  #heard(event: HistoryEvent): void {
    this.progress.hear(event);
    if (event.type === "pub.info" || event.type === "pub.fail")
      this.#refusals.set(event.id.slice(0, event.id.lastIndexOf("-")), event.code);
  }

  async #quiet(): Promise<void> {
    let last = -1;
    while (last !== this.progress.ended) {
      last = this.progress.ended;
      await this.#time.elapse(QUIET_MS);
    }
  }

  #ended({ code, signal }: ChildEnd, { name, role, child, isAsked }: Member): void {
    if (this.#closed !== undefined) return;
    if (signal === "SIGKILL") {
      this.#kills++;
      this.struck(`kill ${role.kind}`);
    } else if (!isAsked || code !== 0)
      this.#failures.push(`${name} (${role.kind}) ended with ${signal ?? code}: ${child.stderr}`);
  }

  /** A broker that has just come back may need a while before it can say what lies there. */
  async #deadLetters(): Promise<readonly PortDeadLetter[]> {
    const endsAt = systemClock.monotonic() + STALLED_MS;
    for (;;) {
      try {
        return await this.#service.deadLetters.list({ channel: CHANNEL }, { limit: 1_000_000 });
      } catch (error) {
        if (systemClock.monotonic() > endsAt) throw error;
        await this.#time.elapse(50);
      }
    }
  }
}

function rolesOf(options: RunOptions): CrewRole[] {
  const publisher = (writer: string): CrewRole => ({
    kind: "publisher",
    writer,
    channel: CHANNEL,
    inFlight: options.inFlight ?? 8,
    dedupe: options.dedupe ?? true,
    poisonEvery: options.poisonEvery ?? 0,
    repeatEvery: options.repeatEvery ?? 0,
    delayUpToMs: options.delayUpToMs ?? 0,
    bodyBytes: 100,
  });
  const consumer: CrewRole = {
    kind: "consumer",
    agentId: GROUP,
    pattern: CHANNEL,
    group: GROUP,
    guarantee: options.guarantee,
    ordering: options.ordering ?? "relaxed",
    maxConcurrency: options.maxConcurrency ?? 16,
    prefetch: options.prefetch ?? 64,
    retry: {
      maxAttempts: options.maxAttempts ?? 10,
      backoff: { strategy: "constant", initialDelayMs: 20 },
    },
    handlerTimeoutMs: options.handlerTimeoutMs ?? 2000,
    behaviour: options.behaviour ?? {},
    ...(options.guarantee === "exactly-once" ? { effects: EFFECTS } : {}),
  };
  return [
    ...Array.from({ length: options.publishers }, (_none, at) => publisher(`p${at}`)),
    ...Array.from({ length: options.consumers }, () => consumer),
  ];
}
