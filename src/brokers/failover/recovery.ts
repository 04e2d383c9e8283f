import type { Broker } from "../../core/broker.ts";
import { HeraldError, toHeraldError } from "../../core/errors.ts";
import { emit } from "../../core/events.ts";
import type { FailoverAdmin } from "./admin.ts";
import type { Drainer } from "./drainer.ts";
import type { FailoverInbox } from "./inbox.ts";
import type { Journal } from "./journal.ts";
import type { Marks } from "./marks.ts";
import type { Members } from "./members.ts";

/** What is brought up to date when the primary answers. */
export interface RecoveryParts {
  readonly primary: Broker;
  readonly members: Members;
  readonly drainer: Drainer;
  /** Undefined: the primary's channels cannot be looked after. */
  readonly marks: Marks | undefined;
  readonly admin: FailoverAdmin | undefined;
  readonly journal: Journal | undefined;
  readonly inboxes: ReadonlySet<FailoverInbox>;
  /** A call, or several, to the primary with its deadline. */
  within<T>(promise: Promise<T>): Promise<T>;
  failed(error: HeraldError): void;
}

/** What happens after every good probe: is the primary still the one it was, and what waited for it. One at a time. */
export class Recovery {
  readonly #parts: RecoveryParts;
  #running: Promise<void> | undefined;
  #losses = 0;
  /** A call to it has failed: it may have been away, and come back older than it was. */
  #isDoubted = false;
  /** What a process that is gone has written down and perhaps not published. */
  #isFirst = true;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  /** How often the primary was found to have lost what it acknowledged. */
  get losses(): number {
    return this.#losses;
  }

  /** Never rejects; what fails is told, and tried again after the next good probe. */
  run(): Promise<void> {
    this.#running ??= this.#run()
      .catch((error: unknown) => this.#parts.failed(toHeraldError(error)))
      .finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** A call to the primary has failed as calls do when it is away. */
  doubt(): void {
    this.#isDoubted = true;
  }

  /** Takes out of the journal what was handled, on a primary that is still the one it was. */
  async trim(): Promise<void> {
    const { journal } = this.#parts;
    if (journal === undefined || journal.isIdle || this.#running !== undefined) return;
    await journal.trim();
  }

  async #run(): Promise<void> {
    const { marks, members, drainer, admin, inboxes, journal } = this.#parts;
    const leaveMark = async () => {
      if (marks !== undefined) await this.#parts.within(marks.renew());
    };
    await this.#refill();
    await members.resume("primary");
    await admin?.settleDebts();
    for (const inbox of inboxes) await inbox.settleDebts();
    drainer.setAwake(true);
    await (journal === undefined ? leaveMark() : journal.prove(leaveMark));
  }

  /** What the primary may have lost is published again. */
  async #refill(): Promise<void> {
    const { marks, journal } = this.#parts;
    const wasDoubted = this.#isDoubted;
    this.#isDoubted = false;
    try {
      const isWhole = marks === undefined || (await this.#parts.within(marks.isKept()));
      if (!isWhole) await this.#lost();
      else if (this.#isFirst) await journal?.redrive();
      else if (wasDoubted) await journal?.redriveUnproven();
      this.#isFirst = false;
    } catch (error) {
      this.#isDoubted ||= wasDoubted;
      throw error;
    }
  }

  /** What the journal holds is published again. Without one it can only be said. */
  async #lost(): Promise<void> {
    const { primary, journal, marks } = this.#parts;
    this.#losses++;
    const redriven = journal === undefined ? null : await journal.redrive();
    marks?.forget();
    const rest =
      redriven === null
        ? "use durability 'journal' so that it is filled again"
        : `${redriven} messages were published again from the journal`;
    const error = new HeraldError(
      "DATA_LOSS_DETECTED",
      `The primary '${primary.name}' came back without what it had acknowledged: it was emptied, or it is an old copy; ${rest}.`,
      { details: { broker: primary.name, redriven } },
    );
    emit("dataLost", () => ({ broker: primary.name, channel: null, group: null, count: redriven, error }));
  }
}
