import { setTimeout as sleep } from "node:timers/promises";
import type { DeadLetterEntry, MessagingService } from "../../src/index.ts";
import {
  HISTORY,
  JOURNAL,
  SCANNED,
  TRIAGE,
  type Gaps,
  type HistoryEnd,
  type Scan,
  type Tally,
} from "./channels.ts";
import { messageOf } from "./history/text.ts";
import { readLog } from "./kept-log.ts";

/** What the source says when it begins. */
export interface Reading {
  readonly origin: "git" | "sample";
  readonly repository: string;
  /** Why it is the sample. */
  readonly reason?: string;
}

/** What was done about one dead letter. */
export interface Treated {
  readonly id: string;
  readonly channel: string;
  readonly code: string;
  readonly attempts: number;
  readonly treatment: "republished" | "redriven" | "left";
}

/** Input of the source's command `read_history`. */
interface ReadWanted {
  readonly repository: string;
  readonly limit?: number;
  readonly upTo?: string;
  readonly watch: boolean;
}

const LOOK_AGAIN_MS = 10;

/**
 * The person at the desk, as an agent of its own. It has no manifest, and everything that it does goes through messages
 * and the dead letters, as it would from another machine.
 */
export class Operator {
  readonly #agent: MessagingService;
  readonly #say: (line: string) => void;
  readonly #scanned = new Set<string>();

  /** `say` gets one line for each thing that is done. */
  constructor(agent: MessagingService, say: (line: string) => void) {
    this.#agent = agent;
    this.#say = say;
  }

  /** Follows what is scanned and what triage does. Resolves once it knows what was scanned by earlier starts of the run. */
  async follow(): Promise<void> {
    await this.#agent.subscribe(SCANNED, ({ payload: { sha } }) => void this.#scanned.add(sha));
    await this.#agent.subscribe(JOURNAL, () => {});
    for (const { sha } of await this.scans()) this.#scanned.add(sha);
  }

  /** Commits that were scanned so far, by all starts of the run. */
  get scanned(): number {
    return this.#scanned.size;
  }

  /** What is known of every commit that was scanned. */
  scans(): Promise<readonly Scan[]> {
    return readLog(this.#agent, SCANNED);
  }

  /** Has a history read. `ended` resolves when all of it is published. */
  async read(wanted: ReadWanted) {
    const { promise: ended, resolve } = Promise.withResolvers<HistoryEnd>();
    await this.#agent.subscribe(HISTORY, ({ payload }) => resolve(payload));
    const reading = await this.#agent.sendCommand<Reading>("commit-source", "read_history", wanted);
    return { reading, ended };
  }

  /** Resolves when nothing waits and nothing is being handled on any channel; false when that took longer than `withinMs`. */
  async idle(withinMs = Infinity): Promise<boolean> {
    const startedAt = performance.now();
    while ((await this.waiting()) > 0) {
      if (performance.now() - startedAt > withinMs) return false;
      await sleep(LOOK_AGAIN_MS);
    }
    return true;
  }

  /** Messages that wait, are being handled, or wait to be tried again. */
  async waiting(): Promise<number> {
    const groups = await this.#agent.getConsumerLag();
    return groups.reduce((sum, { lag }) => sum + (lag ?? 0), 0);
  }

  /** Looks at the dead letters and does about each what can be done. */
  async treatDeadLetters(): Promise<readonly Treated[]> {
    const damaged = await this.#republish();
    // What was published again may have become a dead letter in its turn: this one can be sent back.
    await this.idle();
    const repaired = await this.#redrive();
    await this.idle();
    return [...damaged, ...repaired];
  }

  /** Dead letters that nothing was done about, or in vain. */
  async leftovers(): Promise<readonly Treated[]> {
    const letters = await this.#agent.deadLetters.list();
    return letters.map((letter) => treated(letter, "left"));
  }

  /** Triage's answer to the question about everything. */
  tally(): Promise<Tally> {
    return this.#agent.request<Tally>(TRIAGE.channel, { about: "everything" });
  }

  /** What the scanner passed over. */
  gaps(): Promise<Gaps> {
    return this.#agent.sendCommand<Gaps>("security-scanner", "report_gaps", {});
  }

  /**
   * Bytes that cannot be decoded would fail again however often they are sent back. The id says which commit it was: its
   * source publishes it again, and only then the dead letter may go.
   */
  async #republish(): Promise<Treated[]> {
    const done: Treated[] = [];
    const letters = await this.#agent.deadLetters.list({ code: "MALFORMED" });
    if (letters.length === 0) return done;
    // The moment of a failure is known to the millisecond: those of the list are from before this one.
    await sleep(LOOK_AGAIN_MS);
    const before = Date.now();
    for (const letter of letters) {
      const { id, code } = letter;
      try {
        await this.#agent.sendCommand("commit-source", "publish_again", { sha: id });
        // Not a newer one: what was published again may have failed in its turn.
        await this.#agent.deadLetters.purge({ id, code, before });
        this.#say(
          `operator  ${short(id)} cannot be decoded: its source published it again, the dead letter is purged`,
        );
        done.push(treated(letter, "republished"));
      } catch (error) {
        this.#say(`operator  ${short(id)} stays a dead letter: ${messageOf(error)}`);
      }
    }
    return done;
  }

  /** A message that a bug stopped is sound: with the bug gone it is sent back as it is. */
  async #redrive(): Promise<Treated[]> {
    const letters = await this.#agent.deadLetters.list({ code: "HANDLER_FAILED" });
    if (letters.length === 0) return [];
    const { repaired } = await this.#agent.sendCommand<{ repaired: boolean }>(
      "security-scanner",
      "repair_rule",
      {
        rule: "drill-bug",
      },
    );
    this.#say(
      `operator  the rule drill-bug ${repaired ? "is repaired" : "was not broken"}: dead letters are sent back`,
    );
    const count = await this.#agent.deadLetters.redrive({ code: "HANDLER_FAILED" });
    return letters.slice(0, count).map((letter) => treated(letter, "redriven"));
  }
}

function treated({ id, channel, code, attempts }: DeadLetterEntry, treatment: Treated["treatment"]): Treated {
  return { id, channel, code, attempts, treatment };
}

/** As much of an id as people compare. */
export function short(id: string): string {
  return id.slice(0, 8);
}
