import { HeraldError, showValue } from "../../core/errors.ts";

/** Levels of durability that an option may ask for, and what is done about a server that keeps less. */
export const DURABILITY_CHOICES = {
  requireDurability: ["none", "process", "os", "power"],
  onWeakDurability: ["warn", "refuse"],
} as const;

/** Checks the options of one kind of broker. Every refusal is `INVALID_ARGUMENT` and names its option in `details.field`. */
export class OptionCheck {
  readonly #title: string;
  readonly #maxShown: number | undefined;

  /** `title`: the technology, as it begins a sentence. `maxShown`: characters of a value that a refusal shows; default 80. */
  constructor(title: string, maxShown?: number) {
    this.#title = title;
    this.#maxShown = maxShown;
  }

  wrong(field: string, expected: string, value: unknown): HeraldError {
    const shown = showValue(value, this.#maxShown);
    const message = `${this.#title} broker option '${field}' must be ${expected}, not ${shown}.`;
    return new HeraldError("INVALID_ARGUMENT", message, { details: { field } });
  }

  /** Throws unless each of the named options is a number above 0. */
  aboveZero<S extends object>(settings: S, names: readonly (keyof S & string)[]): void {
    for (const name of names) {
      const value: unknown = settings[name];
      if (typeof value !== "number" || !(value > 0)) throw this.wrong(name, "a number above 0", value);
    }
  }

  /** Throws unless each of the options has one of its values. */
  oneOf<S extends object>(settings: S, choices: { readonly [Name in keyof S]?: readonly unknown[] }): void {
    for (const [name, allowed] of Object.entries(choices) as [keyof S & string, readonly unknown[]][]) {
      const value: unknown = settings[name];
      if (!allowed.includes(value)) throw this.wrong(name, allowed.join(", "), value);
    }
  }

  /**
   * What a URL says: the server, and in its query the namespace. `schemes`: without and with TLS, without colon. What a
   * refusal shows has no password.
   */
  address(
    text: string,
    [plain, secure]: readonly [string, string],
  ): { readonly url: string; readonly namespace: string | undefined } {
    const isOurs = text.startsWith(`${plain}://`) || text.startsWith(`${secure}://`);
    const url = isOurs ? URL.parse(text) : null;
    if (url === null || url.hostname === "")
      throw this.wrong("url", `a ${plain}: or ${secure}: URL with a host`, withoutPassword(text));
    const namespace = url.searchParams.get("namespace") ?? undefined;
    url.search = "";
    return { url: url.href, namespace };
  }
}

/** A URL as it may be shown. */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/.*@/, "//");
}
