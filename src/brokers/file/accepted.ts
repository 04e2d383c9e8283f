import type { PublishResult } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import type { ErrorShape, PublishAnswer, StoredRun } from "./protocol.ts";

/** The result of an accepted publish; its position becomes text only when somebody asks. */
class Accepted {
  readonly ok = true as const;
  readonly deduplicated: boolean;
  readonly matched: number;
  readonly #seq: number;

  constructor(seq: number, matched: number, deduplicated: boolean) {
    this.#seq = seq;
    this.matched = matched;
    this.deduplicated = deduplicated;
  }

  get position(): string | null {
    return this.#seq === 0 ? null : String(this.#seq);
  }
}

/** An error that came from the other thread. */
export function errorOf({ code, message, details }: ErrorShape): HeraldError {
  return new HeraldError(code, message, { details });
}

/** What became of one message of a block. */
export function resultOf(answer: PublishAnswer | StoredRun, at: number): PublishResult {
  if ("first" in answer) return new Accepted(answer.first + at, answer.matched, false);
  const error = answer.errors?.[at];
  if (error !== undefined) return { ok: false, error: errorOf(error) };
  return new Accepted(answer.positions[at] as number, answer.matched[at] as number, answer.known[at] === 1);
}

/** Where a message of a block was stored now; 0: it was not. */
export function storedAt(answer: PublishAnswer | StoredRun, at: number): number {
  if ("first" in answer) return answer.first + at;
  return answer.known[at] === 1 ? 0 : (answer.positions[at] as number);
}
