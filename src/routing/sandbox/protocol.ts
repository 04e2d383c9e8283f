/** Languages whose expressions run in a process of their own. */
export type Language = "jsonata" | "jmespath";

/** The package of each language. */
export const PACKAGES: Readonly<Record<Language, string>> = {
  jsonata: "jsonata",
  jmespath: "@jmespath-community/jmespath",
};

/** What the process is asked, one after the other. */
export interface Request {
  readonly language: Language;
  readonly expression: string;
  /** `{ payload, message }` as JSON. Absent: only see whether the expression can be read. */
  readonly input?: string;
  readonly timeoutMs: number;
  /** What the result may have as JSON. */
  readonly maxBytes: number;
}

/** Why there is no result. */
export type Trouble = "package" | "expression" | "error" | "size";

/** What the process answers, in the order of the requests. */
export type Answer =
  | { readonly ok: true; readonly json: string }
  | { readonly ok: false; readonly trouble: Trouble; readonly message: string };
