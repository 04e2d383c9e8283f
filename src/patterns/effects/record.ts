import { HeraldError, showValue, type ErrorCode } from "../../core/errors.ts";
import { derivedId } from "../../core/ids.ts";
import { DEFAULT_LIMITS } from "../../core/limits.ts";
import { canonicalJson } from "../canonical.ts";

/** One call to the outside, as an agent's ledger has it. */
export interface EffectPlace {
  /** Under which its record is kept. */
  readonly id: string;
  readonly idempotencyKey: string;
}

/** What is recorded of a call. */
export interface EffectRecord {
  /** `running`: somebody is at it, or has died at it. `free`: it threw. `done`: it took effect. */
  readonly state: "running" | "free" | "done";
  /** How often it was begun. */
  readonly runs: number;
  /** When it was last begun or ended, epoch milliseconds. */
  readonly at: number;
  /** Its result as JSON; absent: it had none. */
  readonly result?: string;
  /** Why its result could not be kept. */
  readonly lost?: { readonly code: ErrorCode; readonly message: string };
}

const NAME = /^[A-Za-z0-9_:.-]{1,100}$/;
const MAX_KEY = 1024;

/** Where a call of an agent is recorded. Throws `INVALID_ARGUMENT`. */
export function effectPlace(agentId: string, name: string, key: string): EffectPlace {
  if (typeof name !== "string" || !NAME.test(name))
    throw wrong("name", "1 to 100 characters of A-Z a-z 0-9 _ : . -", name);
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused.
  if (typeof key !== "string" || key === "" || key.length > MAX_KEY || /[\u0000-\u001f\u007f]/.test(key))
    throw wrong("key", `a text of 1 to ${MAX_KEY} characters without control characters`, key);
  const id = `${name} ${key}`;
  return { id, idempotencyKey: derivedId(`${agentId} ${id}`) };
}

/** The record of a call that took effect. What cannot be kept of its result is lost: it must not be called again for that. */
export function doneWith(result: unknown, runs: number, at: number): EffectRecord {
  if (result === undefined) return { state: "done", runs, at };
  try {
    const text = canonicalJson(result);
    checkSize(Buffer.byteLength(text));
    return { state: "done", runs, at, result: text };
  } catch (error) {
    const { code, message } = error as HeraldError;
    return { state: "done", runs, at, lost: { code: code as ErrorCode, message } };
  }
}

/** The result of a call that took effect. Throws what kept it from being recorded. */
export function resultOf({ result, lost }: EffectRecord, { id }: EffectPlace): unknown {
  if (lost === undefined) return result === undefined ? undefined : JSON.parse(result);
  const message = `The effect ${showValue(id)} took place and is not repeated, but its result could not be recorded: ${lost.message}`;
  throw new HeraldError(lost.code, message, { details: { effect: id } });
}

function checkSize(bytes: number): void {
  const { maxMessageBytes } = DEFAULT_LIMITS;
  if (bytes <= maxMessageBytes) return;
  const message = `it has ${bytes} bytes and the limit is ${maxMessageBytes}; give back a reference to where it is kept.`;
  throw new HeraldError("MESSAGE_TOO_LARGE", message);
}

function wrong(field: string, expected: string, value: unknown): HeraldError {
  const message = `The ${field} of an effect must be ${expected}, not ${showValue(value)}.`;
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field } });
}
