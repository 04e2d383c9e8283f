import { inboxKey } from "../../core/inbox-limits.ts";
import { once } from "../../core/once.ts";
import type { HandledIds } from "./claiming-inbox.ts";

/** A log that every process reads whole. */
export interface IdLog {
  /** Resolves when everything is known that was stored anywhere before this call. */
  catchUp(): Promise<void>;
  /** Resolves when everybody who catches up from now on knows it. */
  store(key: string): Promise<void>;
}

/** What keeping ids in a log needs. */
export interface LoggedIdsHost {
  /** Opens the log; `know` is told of every id in it, with the epoch milliseconds of its storing, the oldest first. */
  open(know: (key: string, at: number) => void): Promise<IdLog>;
  /** Epoch milliseconds. Throws `CLOSED` while the broker is not open. */
  now(): number;
  /** What a rejection of the log is to the caller. */
  error(thrown: unknown): Error;
}

/** Handled ids in a log: every process knows all that are not past their horizon. */
export class LoggedIds implements HandledIds {
  readonly #host: LoggedIdsHost;
  readonly #horizonMs: number;
  readonly #done = new Map<string, number>();
  readonly #log: () => Promise<IdLog>;

  constructor(horizonMs: number, host: LoggedIdsHost) {
    this.#host = host;
    this.#horizonMs = horizonMs;
    this.#log = once(() => host.open((key, at) => void this.#done.set(key, at)));
  }

  async find(group: string, id: string): Promise<"done" | number> {
    const key = inboxKey(group, id);
    if (this.#done.has(key)) return "done";
    await this.#ask((log) => log.catchUp());
    this.#forgetOld();
    return this.#done.has(key) ? "done" : this.#done.size;
  }

  async record(group: string, id: string): Promise<void> {
    await this.#ask((log) => log.store(inboxKey(group, id)));
  }

  /** The log may show it a moment later. */
  recorded(group: string, id: string): void {
    this.#done.set(inboxKey(group, id), this.#host.now());
  }

  async #ask(ask: (log: IdLog) => Promise<void>): Promise<void> {
    try {
      await ask(await this.#log());
    } catch (error) {
      throw this.#host.error(error);
    }
  }

  #forgetOld(): void {
    const before = this.#host.now() - this.#horizonMs;
    for (const [key, at] of this.#done) {
      if (at >= before) return;
      this.#done.delete(key);
    }
  }
}
