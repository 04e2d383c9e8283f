import type { ChildEnd } from "./child-process.ts";
import type { Crew, CrewRole, Member, MemberOptions } from "./crew.ts";

const AGAIN_MS = 50;
// A place where nobody ever stood is hopeless after so many tries.
const FIRST_TRIES = 5;

/** A place in a run that is never empty for long: whoever dies in it is replaced. */
export class Slot {
  readonly role: CrewRole;
  readonly #crew: Crew;
  readonly #options: () => MemberOptions;
  readonly #onEnd: (end: ChildEnd, member: Member) => void;
  #member: Member | undefined;
  #isOver = false;
  #wasFilled = false;
  #why: unknown;
  #kept: Promise<void> = Promise.resolve();
  #waiting: (() => void)[] = [];

  /** `options`: asked anew for every member. `onEnd`: how a member that stood came to its end. */
  constructor(
    crew: Crew,
    role: CrewRole,
    options: () => MemberOptions,
    onEnd: (end: ChildEnd, member: Member) => void,
  ) {
    this.#crew = crew;
    this.role = role;
    this.#options = options;
    this.#onEnd = onEnd;
  }

  /** Who stands there now. */
  get member(): Member | undefined {
    return this.#member;
  }

  /** Resolves once somebody stands there. */
  fill(): Promise<void> {
    this.#kept = this.#keep();
    return this.stands();
  }

  /** Resolves once somebody stands there, and has not been seen to die. Rejects when nobody ever could. */
  async stands(): Promise<void> {
    while (this.#member === undefined && !this.#isOver)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#why !== undefined) throw this.#why;
  }

  /** SIGKILL for whoever stands there; resolves when that is over, and somebody else is on the way. */
  async kill(): Promise<void> {
    await this.#member?.kill();
  }

  /** Replaces nobody any more. */
  giveUp(): void {
    this.#isOver = true;
  }

  /** Asks whoever stands there to stop, and replaces nobody any more. */
  async empty(): Promise<void> {
    this.#isOver = true;
    void this.#member?.stop();
    await this.#kept;
  }

  #hopeless(error: unknown): void {
    this.#why = error;
    this.#isOver = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #stands(member: Member): void {
    this.#wasFilled = true;
    if (member.child.isOver) return;
    this.#member = member;
    // It was being started when everybody was asked to stop.
    if (this.#isOver) void member.stop();
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #keep(): Promise<void> {
    let tries = 0;
    while (!this.#isOver) {
      try {
        const member = await this.#crew.start(this.role, this.#options());
        this.#stands(member);
        const end = await member.ended;
        this.#member = undefined;
        this.#onEnd(end, member);
      } catch (error) {
        // The server was away when it started.
        if (!this.#wasFilled && ++tries === FIRST_TRIES) return this.#hopeless(error);
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
