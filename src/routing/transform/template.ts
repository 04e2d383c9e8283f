import { HeraldError, showValue } from "../../core/errors.ts";
import type { Message } from "../../core/message.ts";
import { MESSAGE_KEYS, own, ownPath } from "../lookup.ts";

const MAX_TEMPLATE_BYTES = 64 * 1024;
const MAX_DEPTH = 32;
const MAX_PLACES = 1000;
const PATH = /^[A-Za-z_$][\w$-]{0,99}(?:\.[\w$-]{1,100}){0,31}$/;

/** What a filled template may have, bytes of JSON. */
interface Budget {
  left: number;
  readonly maxBytes: number;
}

/** Undefined: a value that may be missing is missing. */
type Fill = (message: Message, budget: Budget) => unknown;

/**
 * Compiles a template: JSON, as text or as a value, in whose texts `{{path}}` stands for a value of the message. A text that
 * is one `{{path}}` becomes the value as it is; in a longer text the value stands as text, objects and arrays as JSON. A
 * path that begins with a key of the message is absolute (`payload.id`, `metadata.priority`, `source`); any other is one in
 * the payload. `{{path?}}` may be missing: its key is left out, in a text it is empty. Nothing is evaluated: a value is
 * put in after the template was read, so that no message adds a key, a path or a quote to it. Only own properties are seen.
 *
 * Throws `INVALID_ARGUMENT` for what is no template; the filling throws `TRANSFORM_FAILED` (`details.reason`: `error` for a
 * path that leads nowhere, `size` above `maxBytes`).
 */
export function compileTemplate(template: unknown, maxBytes: number): (message: Message) => unknown {
  const places = { count: 0 };
  const fill = compileNode(parsed(template), 0, places);
  return (message) => {
    const filled = fill(message, { left: maxBytes, maxBytes });
    if (filled === undefined)
      throw failed("error", "it gives nothing: the value that it stands for is missing");
    return filled;
  };
}

/** A text that is JSON is a template of that shape; any other is one text. */
function parsed(template: unknown): unknown {
  if (typeof template !== "string") return template;
  if (Buffer.byteLength(template) > MAX_TEMPLATE_BYTES)
    throw refused(`is longer than ${MAX_TEMPLATE_BYTES} bytes`);
  const text = template.trim();
  if (text.startsWith("{{") || !/^[[{"]/.test(text)) return template;
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw refused(`begins like JSON and is none: ${(cause as Error).message}`, cause);
  }
}

function compileNode(node: unknown, depth: number, places: { count: number }): Fill {
  if (depth > MAX_DEPTH) throw refused(`is nested deeper than ${MAX_DEPTH}`);
  if (typeof node === "string") return compileText(node, places);
  if (typeof node !== "object" || node === null) return compileScalar(node);
  if (Array.isArray(node)) {
    const items = node.map((item) => compileNode(item, depth + 1, places));
    return (message, budget) => items.map((fill) => fill(message, budget) ?? null);
  }
  const entries = Object.entries(node).map(([key, value]) => {
    if (key === "__proto__") throw refused("has a key __proto__");
    return [key, compileNode(value, depth + 1, places), key.length + 4] as const;
  });
  return (message, budget) => {
    const filled: Record<string, unknown> = {};
    for (const [key, fill, size] of entries) {
      const value = fill(message, budget);
      if (value === undefined) continue;
      spend(budget, size);
      filled[key] = value;
    }
    return filled;
  };
}

function compileScalar(node: unknown): Fill {
  if (node === null || typeof node === "boolean" || (typeof node === "number" && Number.isFinite(node)))
    return () => node;
  throw refused(`holds ${showValue(node)}, and only JSON can be filled`);
}

/** Literal text and places in turn; found without a regular expression over the whole. */
function compileText(text: string, places: { count: number }): Fill {
  const parts: (string | Place)[] = [];
  let at = 0;
  for (let open = text.indexOf("{{"); open >= 0; open = text.indexOf("{{", at)) {
    const close = text.indexOf("}}", open);
    if (close < 0) throw refused(`opens {{ and does not close it, at character ${open + 1} of a text`);
    if (++places.count > MAX_PLACES) throw refused(`has more than ${MAX_PLACES} places`);
    if (open > at) parts.push(text.slice(at, open));
    parts.push(placeOf(text.slice(open + 2, close).trim()));
    at = close + 2;
  }
  if (at < text.length || parts.length === 0) parts.push(text.slice(at));
  const [first] = parts;
  if (parts.length === 1 && first !== undefined && typeof first !== "string")
    return (message, budget) => spent(budget, find(first, message));
  return (message, budget) =>
    parts
      .map((part) => {
        const shown = typeof part === "string" ? part : textOf(find(part, message));
        spend(budget, shown.length);
        return shown;
      })
      .join("");
}

/** One value that a template stands for. */
interface Place {
  readonly written: string;
  readonly isOptional: boolean;
  readonly from: keyof Message;
  readonly path: readonly string[];
}

function placeOf(written: string): Place {
  const isOptional = written.endsWith("?");
  const path = isOptional ? written.slice(0, -1) : written;
  if (!PATH.test(path)) {
    const hint = "write a path such as payload.customer.id; nothing is calculated here";
    throw refused(`has {{${written.slice(0, 60)}}}, which is no path: ${hint}`);
  }
  const [head = "", ...rest] = path.split(".");
  if (MESSAGE_KEYS.has(head)) return { written, isOptional, from: head as keyof Message, path: rest };
  return { written, isOptional, from: "payload", path: [head, ...rest] };
}

function find({ written, isOptional, from, path }: Place, message: Message): unknown {
  const value = ownPath(own(message, from), path);
  if (value !== undefined || isOptional) return value;
  throw failed(
    "error",
    `the message has no ${written.slice(0, 100)}; write {{${written.slice(0, 100)}?}} if it may be missing`,
  );
}

function textOf(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A value is measured where it is put in: one large value in many places would else become as many large values. */
function spent(budget: Budget, value: unknown): unknown {
  if (value !== undefined)
    spend(budget, typeof value === "string" ? value.length : (JSON.stringify(value)?.length ?? 0));
  return value;
}

function spend(budget: Budget, size: number): void {
  budget.left -= size;
  if (budget.left < 0) throw failed("size", `it would have more than ${budget.maxBytes} bytes`);
}

function refused(problem: string, cause?: unknown): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `The template ${problem}.`, {
    details: { field: "expression" },
    ...(cause === undefined ? {} : { cause }),
  });
}

function failed(reason: "error" | "size", what: string): HeraldError {
  return new HeraldError("TRANSFORM_FAILED", `The template gave no result: ${what}.`, {
    details: { reason },
  });
}
