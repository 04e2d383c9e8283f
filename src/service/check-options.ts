import { HeraldError, showValue } from "../core/errors.ts";
import { checkId } from "../core/ids.ts";
import type { SubscribeOptions } from "./options.ts";

/** The error for an option that is not what it must be: `INVALID_ARGUMENT`, naming the field. */
export function wrongOption(field: string, expected: string, value: unknown): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${field} must be ${expected}, not ${showValue(value)}.`, {
    details: { field },
  });
}

/** A whole number of 1 or more; throws `INVALID_ARGUMENT` naming the field. */
export function whole(field: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw wrongOption(field, "a whole number of 1 or more", value);
}

/** A number above 0, Infinity included; throws `INVALID_ARGUMENT` naming the field. */
export function aboveZero(field: string, value: number): number {
  if (typeof value === "number" && value > 0) return value;
  throw wrongOption(field, "a number above 0", value);
}

/** A number of 0 or more, Infinity included; throws `INVALID_ARGUMENT` naming the field. */
export function notNegative(field: string, value: number): number {
  if (typeof value === "number" && value >= 0) return value;
  throw wrongOption(field, "a number of 0 or more", value);
}

/** An object with all of these methods; throws `INVALID_ARGUMENT` naming the field. */
export function withMethods<T extends object>(
  field: string,
  value: T,
  methods: readonly (keyof T & string)[],
): T {
  const missing = methods.filter((name) => typeof (value as T | null)?.[name] !== "function");
  if (missing.length === 0) return value;
  throw wrongOption(field, `an object with the methods ${methods.join(", ")}`, value);
}

/** Is this a function? Throws `INVALID_ARGUMENT` naming the field otherwise. */
export function checkFunction(field: string, value: unknown): void {
  if (typeof value !== "function") throw wrongOption(field, "a function", value);
}

/** Is this an object that options can be read from? Throws `INVALID_ARGUMENT` otherwise. */
export function checkOptions(options: unknown): void {
  if (typeof options !== "object" || options === null) throw wrongOption("options", "an object", options);
}

/** The options of a subscription that are words, names and places; throws `INVALID_ARGUMENT` naming the field. */
export function checkSubscribeOptions({ group, ack, ordering, from, signal }: SubscribeOptions): void {
  if (group !== undefined && group !== null) checkId(group, "group");
  if (ack !== undefined && ack !== "auto" && ack !== "manual")
    throw wrongOption("ack", "auto or manual", ack);
  if (ordering !== undefined && ordering !== "relaxed" && ordering !== "strict")
    throw wrongOption("ordering", "relaxed or strict", ordering);
  if (signal !== undefined && typeof signal?.addEventListener !== "function")
    throw wrongOption("signal", "an AbortSignal", signal);
  if (from === undefined || from === "new" || from === "earliest" || isPlace(from)) return;
  throw wrongOption("from", "new, earliest, { position } or { time } in epoch milliseconds", from);
}

function isPlace(from: unknown): boolean {
  if (typeof from !== "object" || from === null) return false;
  const { position, time } = from as { readonly position?: unknown; readonly time?: unknown };
  if (time !== undefined) return Number.isFinite(time) && position === undefined;
  return typeof position === "string";
}
