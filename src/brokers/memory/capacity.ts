import { HeraldError } from "../../core/errors.ts";
import { Deadlines, type Deadline } from "../../core/deadlines.ts";
import type { MemorySettings } from "./options.ts";

interface Blocked {
  readonly messages: number;
  readonly bytes: number;
  readonly settle: (error: HeraldError | undefined) => void;
  deadline: Deadline<Blocked> | undefined;
}

/** Counts what the broker holds and lets publishers wait for room. */
export class Capacity {
  readonly #settings: MemorySettings;
  readonly #deadlines: Deadlines<Blocked>;
  readonly #blocked = new Set<Blocked>();
  #messages = 0;
  #bytes = 0;

  constructor(settings: MemorySettings) {
    this.#settings = settings;
    this.#deadlines = new Deadlines(settings.clock, (blocked) => {
      this.#end(blocked, this.overloaded());
      // Those behind it may want less than it did.
      this.admit();
    });
  }

  /** True when this much more fits, and nobody waits for room already. */
  fits(messages: number, bytes: number): boolean {
    return this.#blocked.size === 0 && this.#hasRoom(messages, bytes);
  }

  /** True while the limits are not passed. */
  get isWithinLimits(): boolean {
    return this.#hasRoom(0, 0);
  }

  /** True when nothing that was ever dropped could make this fit. */
  neverFits(messages: number, bytes: number): boolean {
    return messages > this.#settings.maxMessages || bytes > this.#settings.maxBytes;
  }

  add(messages: number, bytes: number): void {
    this.#messages += messages;
    this.#bytes += bytes;
  }

  remove(messages: number, bytes: number): void {
    this.#messages -= messages;
    this.#bytes -= bytes;
  }

  /** Lets those who wait go on, in order, as far as there is room. */
  admit(): void {
    for (const blocked of this.#blocked) {
      if (!this.#hasRoom(blocked.messages, blocked.bytes)) return;
      // The room is theirs before anybody else can ask for it.
      this.add(blocked.messages, blocked.bytes);
      this.#end(blocked, undefined);
    }
  }

  /**
   * Waits for room. Those who wait get it in their order: `settle` is called at once when it is theirs and taken, so that
   * nobody who comes later is stored before them; with an `OVERLOADED` error when none came in time, or the broker closed.
   */
  wait(messages: number, bytes: number, settle: (error: HeraldError | undefined) => void): void {
    const blocked: Blocked = { messages, bytes, settle, deadline: undefined };
    blocked.deadline = this.#deadlines.add(this.#settings.blockTimeoutMs, blocked);
    this.#blocked.add(blocked);
  }

  close(error: HeraldError): void {
    for (const blocked of this.#blocked) this.#end(blocked, error);
    this.#deadlines.clear();
  }

  overloaded(): HeraldError {
    const { maxMessages, maxBytes, overflow } = this.#settings;
    return new HeraldError(
      "OVERLOADED",
      `The memory broker is full (${this.#messages} messages, ${this.#bytes} bytes; limits ${maxMessages} and ${maxBytes}, overflow '${overflow}'): let consumers catch up, or raise maxMessages or maxBytes.`,
      { details: { messages: this.#messages, bytes: this.#bytes, maxMessages, maxBytes } },
    );
  }

  #hasRoom(messages: number, bytes: number): boolean {
    return (
      this.#messages + messages <= this.#settings.maxMessages &&
      this.#bytes + bytes <= this.#settings.maxBytes
    );
  }

  #end(blocked: Blocked, error: HeraldError | undefined): void {
    this.#blocked.delete(blocked);
    if (blocked.deadline !== undefined) this.#deadlines.cancel(blocked.deadline);
    blocked.settle(error);
  }
}
