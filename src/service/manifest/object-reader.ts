import { nearest } from "../../core/nearest.ts";
import type { Segment } from "../schema/path.ts";
import { show } from "../schema/problem.ts";
import type { Problems } from "./problems.ts";

/** Where a value stands and where what is wrong with it goes. */
export interface Place {
  readonly segments: readonly Segment[];
  readonly problems: Problems;
  /** The whole document, for references that lead from one part of it to another; absent in code. */
  readonly document?: unknown;
}

/** Which keys an object may have. */
export interface KnownKeys {
  readonly keys: readonly string[];
  /** Other words for a key that are read as it: `{ delivery: "deliveryGuarantee" }`. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Words that people write and that mean a key here, for hints only; a sentence is given as it is. */
  readonly hints?: Readonly<Record<string, string>>;
  /** The hint for a key that is like none of them. */
  readonly otherwise?: string;
}

interface Entry {
  readonly written: string;
  readonly value: unknown;
}

/** Bounds of a number. */
export interface Bounds {
  readonly min: number;
  readonly max?: number;
}

/**
 * Reads one object of known keys. camelCase and snake_case spell the same key; a key that is not known, or is there twice
 * under two spellings, is an error. Each accessor answers undefined for what is absent or wrong, and reports what is wrong.
 */
export class ObjectReader {
  readonly #place: Place;
  readonly #entries = new Map<string, Entry>();

  constructor(value: Readonly<Record<string, unknown>>, place: Place, known: KnownKeys) {
    this.#place = place;
    for (const [written, item] of Object.entries(value)) {
      if (item === undefined || place.problems.full) continue;
      this.#enter(written, item, known);
    }
  }

  /** Where the value of a key stands, under the spelling it was written with. */
  at(key: string): Place {
    const written = this.#entries.get(key)?.written ?? key;
    return { ...this.#place, segments: [...this.#place.segments, written] };
  }

  /** Is the key written here? */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  raw(key: string): unknown {
    return this.#entries.get(key)?.value;
  }

  text(key: string): string | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (typeof value === "string" && value !== "") return value;
    return this.wrong(key, "text that is not empty");
  }

  flag(key: string): boolean | undefined {
    const value = this.raw(key);
    if (value === undefined || typeof value === "boolean") return value;
    return this.wrong(key, "true or false");
  }

  whole(key: string, bounds: Bounds): number | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (Number.isInteger(value) && isWithin(value as number, bounds)) return value as number;
    return this.wrong(key, `a whole number${describeBounds(bounds)}`);
  }

  number(key: string, bounds: Bounds): number | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isFinite(value) && isWithin(value, bounds)) return value;
    return this.wrong(key, `a number${describeBounds(bounds)}`);
  }

  /** One of some words; other spellings are given with what they mean. `_` is read as `-`. */
  word<T extends string>(
    key: string,
    words: readonly T[],
    spellings: Readonly<Record<string, T>> = {},
  ): T | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    const plain = typeof value === "string" ? value.replaceAll("_", "-") : "";
    const found =
      words.find((word) => word === plain) ??
      (Object.hasOwn(spellings, plain) ? spellings[plain] : undefined);
    if (found !== undefined) return found;
    const meant = nearest(plain, [...words, ...Object.keys(spellings)]);
    return this.wrong(
      key,
      `one of ${words.join(", ")}`,
      meant === undefined ? undefined : `Did you mean ${meant}?`,
    );
  }

  /** The items of a list, each with its place. Absent or empty: no items. */
  list(key: string): readonly (readonly [unknown, Place])[] {
    const value = this.raw(key);
    if (value === undefined || this.#isBlank(key, value)) return [];
    if (!Array.isArray(value)) {
      this.wrong(key, "a list");
      return [];
    }
    const place = this.at(key);
    return value.map(
      (item: unknown, index) => [item, { ...place, segments: [...place.segments, index] }] as const,
    );
  }

  /** The object under a key, to be read with its own keys. */
  object(key: string, known: KnownKeys): ObjectReader | undefined {
    const value = this.raw(key);
    if (value === undefined || this.#isBlank(key, value)) return undefined;
    return readObject(value, this.at(key), known);
  }

  /** Reports that the value of a key is not what it has to be. */
  wrong(key: string, expected: string, hint?: string): undefined {
    wrongAt(this.at(key), this.raw(key), { expected, ...(hint === undefined ? {} : { hint }) });
  }

  /** In YAML a key with nothing behind it is most often a part that was commented out. */
  #isBlank(key: string, value: unknown): boolean {
    if (value !== null) return false;
    const { segments, problems } = this.at(key);
    problems.warn({ segments, message: "is empty and is read as if it were not there", onKey: true });
    return true;
  }

  #enter(written: string, value: unknown, known: KnownKeys): void {
    const { segments, problems } = this.#place;
    const key = canonicalKey(written, known);
    const at = { segments: [...segments, written], onKey: true };
    if (key === undefined) {
      const meant =
        knownHint(written, known) ??
        nearest(written, [...known.keys, ...Object.keys(known.aliases ?? {})]) ??
        known.otherwise;
      const expected = `one of ${known.keys.join(", ")}`;
      problems.error({
        ...at,
        message: "is not known here",
        expected,
        ...(meant === undefined ? {} : { hint: hintFor(meant) }),
      });
      return;
    }
    const other = this.#entries.get(key);
    if (other !== undefined) {
      problems.error({
        ...at,
        message: `says the same as ${other.written}, which is here already`,
        hint: `Keep one of them.`,
      });
      return;
    }
    if (written.includes("_")) problems.mark("D2", written);
    this.#entries.set(key, { written, value });
  }
}

function knownHint(written: string, { hints = {} }: KnownKeys): string | undefined {
  return Object.hasOwn(hints, written) ? hints[written] : undefined;
}

function hintFor(meant: string): string {
  return meant.endsWith(".") ? meant : `Did you mean ${meant}?`;
}

function canonicalKey(written: string, known: KnownKeys): string | undefined {
  const camel = written.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  if (known.keys.includes(camel)) return camel;
  return known.aliases !== undefined && Object.hasOwn(known.aliases, camel)
    ? known.aliases[camel]
    : undefined;
}

/** A reader of a value that has to be an object; undefined, and reported, when it is not. */
export function readObject(value: unknown, place: Place, known: KnownKeys): ObjectReader | undefined {
  if (isPlainObject(value)) return new ObjectReader(value, place, known);
  wrongAt(place, value, { expected: "an object" });
  return undefined;
}

/** True for an object that is not a list. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reports that a value is not what it has to be. */
function wrongAt(
  place: Place,
  value: unknown,
  wanted: { readonly expected: string; readonly hint?: string },
): void {
  const given = value === null ? "nothing" : show(value);
  place.problems.error({
    segments: place.segments,
    message: `must be ${wanted.expected}, not ${given}`,
    ...wanted,
  });
}

/** An object without the keys that hold undefined: what was not written is absent. */
export function present<T extends object>(value: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T;
}

function isWithin(value: number, { min, max = Infinity }: Bounds): boolean {
  return value >= min && value <= max;
}

function describeBounds({ min, max }: Bounds): string {
  return max === undefined ? `, at least ${min}` : ` from ${min} to ${max}`;
}
