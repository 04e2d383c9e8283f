import type { Clock } from "../../core/clock.ts";
import { describeThrown, HeraldError, isHeraldError, showValue, type ErrorCode } from "../../core/errors.ts";

/** Who asks: a name and a password, or a token, which a function may fetch anew. */
export type RegistryAuth =
  | { readonly username: string; readonly password: string }
  | { readonly token: string | (() => string | Promise<string>) };

/** How a registry is spoken to. */
export interface HttpOptions {
  /** Asked in turn, the next one when one cannot be reached. */
  readonly urls: readonly URL[];
  readonly auth: RegistryAuth | undefined;
  /** For one answer. */
  readonly timeoutMs: number;
  /** Further tries after the first. */
  readonly maxRetries: number;
  /** Before the first retry; doubled for each later one, and spread by chance. */
  readonly retryDelayMs: number;
  readonly clock: Clock;
}

/** One question. */
export interface Question {
  readonly method: "GET" | "POST";
  /** Below the registry's URL, encoded. */
  readonly path: string;
  readonly body?: unknown;
  /** For sentences: `register the schema of 'orders-value'`. */
  readonly purpose: string;
}

const MEDIA_TYPE = "application/vnd.schemaregistry.v1+json";
/** More than any schema that is read here. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_DELAY_MS = 5000;
/** Answers after which the same question may be answered. */
const PASSING = new Set([408, 429, 500, 502, 503, 504]);

/**
 * Asks a registry over HTTP. Every question of this room may be repeated: registering what is registered gives its id again.
 * So a link that breaks, a time-out, and the answers 408, 429, 500, 502, 503 and 504 are tried again; others are final.
 */
export class RegistryHttp {
  readonly #options: HttpOptions;

  constructor(options: HttpOptions) {
    this.#options = options;
  }

  /**
   * The answer, from JSON. Rejects with `NOT_FOUND`, `CONFLICT` (not compatible), `INVALID_ARGUMENT` (the registry refuses the
   * schema), `UNAUTHENTICATED`, `FORBIDDEN`, `TIMEOUT`, `OVERLOADED`, `NOT_CONNECTED`, `MALFORMED`.
   */
  async ask(question: Question): Promise<unknown> {
    const { maxRetries } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#askEach(question);
      } catch (error) {
        if (attempt >= maxRetries || !isHeraldError(error) || error.details["passing"] !== true) throw error;
        await this.#pause(attempt, error.details["retryAfterMs"]);
      }
    }
  }

  async #askEach(question: Question): Promise<unknown> {
    let last: unknown;
    for (const url of this.#options.urls) {
      try {
        return await this.#askOne(url, question);
      } catch (error) {
        last = error;
        if (!isHeraldError(error) || error.details["passing"] !== true) break;
      }
    }
    throw last;
  }

  async #askOne(base: URL, { method, path, body, purpose }: Question): Promise<unknown> {
    const { timeoutMs } = this.#options;
    const headers = { Accept: `${MEDIA_TYPE}, application/json`, ...(await this.#authorization()) };
    const init =
      body === undefined
        ? { headers }
        : { headers: { ...headers, "Content-Type": MEDIA_TYPE }, body: JSON.stringify(body) };
    const url = `${base.origin}${base.pathname.replace(/\/$/, "")}${path}`;
    // One signal for the answer and its body. It is the system's clock that a foreign machine is waited for by.
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      // A redirect would carry the credentials to wherever it points.
      const response = await fetch(url, { method, signal, redirect: "error", ...init });
      const text = await readAll(response);
      if (response.ok) return parsed(text, purpose);
      throw refusal(response, text, purpose);
    } catch (error) {
      throw isHeraldError(error) ? error : unreached(error, base, { purpose, timeoutMs });
    }
  }

  async #authorization(): Promise<Record<string, string>> {
    const { auth } = this.#options;
    if (auth === undefined) return {};
    if ("token" in auth) {
      const token = typeof auth.token === "function" ? await auth.token() : auth.token;
      return { Authorization: `Bearer ${token}` };
    }
    const userInfo = Buffer.from(`${auth.username}:${auth.password}`).toString("base64");
    return { Authorization: `Basic ${userInfo}` };
  }

  #pause(attempt: number, retryAfterMs: unknown): Promise<void> {
    const { clock, retryDelayMs } = this.#options;
    const asked = typeof retryAfterMs === "number" ? retryAfterMs : 0;
    const delayMs = Math.max(asked, Math.random() * retryDelayMs * 2 ** attempt);
    return new Promise((resolve) => clock.setTimer(Math.min(delayMs, MAX_DELAY_MS), resolve));
  }
}

async function readAll(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) throw new HeraldError("MALFORMED", tooLong());
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function tooLong(): string {
  return `The schema registry's answer has more than ${MAX_ANSWER_BYTES} bytes: see whether the URL is that of a registry.`;
}

function parsed(text: string, purpose: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const message = `The schema registry's answer to '${purpose}' is no JSON: see whether the URL is that of a registry.`;
    throw new HeraldError("MALFORMED", message, { details: { purpose } });
  }
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  401: "UNAUTHENTICATED",
  403: "FORBIDDEN",
  404: "NOT_FOUND",
  408: "TIMEOUT",
  409: "CONFLICT",
  422: "INVALID_ARGUMENT",
  429: "OVERLOADED",
};

/** The error for an answer that is none; `passing` when it may be asked again. */
function refusal(response: Response, text: string, purpose: string): HeraldError {
  const { status } = response;
  const said = saidOf(text);
  const code = CODES[status] ?? (status >= 500 ? "NOT_CONNECTED" : "INVALID_ARGUMENT");
  const message = `The schema registry would not ${purpose}: ${status}${said.message === "" ? "" : ` ${said.message}`}.`;
  const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new HeraldError(code, message, {
    // Credentials are renewed, rights are given: the message that waits for its schema is not to blame.
    retryable: PASSING.has(status) || status === 401 || status === 403,
    details: {
      status,
      purpose,
      ...(said.code === undefined ? {} : { registryCode: said.code }),
      ...(PASSING.has(status) ? { passing: true } : {}),
      ...(Number.isFinite(retryAfter) ? { retryAfterMs: retryAfter * 1000 } : {}),
    },
  });
}

/** A registry says `{ error_code, message }`. What it says is a stranger's text. */
function saidOf(text: string): { readonly code?: number; readonly message: string } {
  try {
    const { error_code: code, message } = JSON.parse(text) as { error_code?: unknown; message?: unknown };
    const shown = typeof message === "string" ? showValue(message, 300) : "";
    return typeof code === "number" ? { code, message: shown } : { message: shown };
  } catch {
    return { message: "" };
  }
}

function unreached(
  error: unknown,
  base: URL,
  { purpose, timeoutMs }: { readonly purpose: string; readonly timeoutMs: number },
): HeraldError {
  const details = { purpose, url: base.origin, passing: true };
  if (error instanceof Error && error.name === "TimeoutError") {
    const message = `The schema registry at ${base.origin} did not ${purpose} within ${timeoutMs} ms.`;
    return new HeraldError("TIMEOUT", message, { details, cause: error });
  }
  // What fetch says is "fetch failed"; why stands in its cause.
  const why = describeThrown((error as { readonly cause?: unknown } | undefined)?.cause ?? error);
  const message = `The schema registry at ${base.origin} cannot be asked to ${purpose}: ${why}`;
  return new HeraldError("NOT_CONNECTED", message, { details, cause: error });
}
