/** Controls, format characters (bidirectional overrides, zero widths) and line separators: what could steer a terminal. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for.
const HOSTILE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\p{Cf}]/gu;
/** The same without those that JSON.stringify escapes in strings and puts between values by itself. */
const HOSTILE_IN_JSON = /[\u007f-\u009f\u2028\u2029\p{Cf}]/gu;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Graphemes that take two columns: East Asian wide and full-width characters, and emoji. */
const WIDE =
  /[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
// oxlint-disable-next-line no-control-regex -- the range of ASCII begins with controls.
const ASCII = /^[\u0000-\u007f]*$/;
const ELLIPSIS = "…";

let segmenter: Intl.Segmenter | undefined;

/** Text from outside, safe to print: one line, every character that could steer a terminal escaped. */
export function printable(text: string): string {
  return text.replaceAll(
    HOSTILE,
    (found) => SHORT[found] ?? `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/**
 * A value as JSON that is safe to print and still the same value: what could steer a terminal is escaped as `\uXXXX`. Bytes,
 * for which JSON has no word, are base64.
 */
export function jsonText(value: unknown, indent = 0): string {
  return escapeJson(JSON.stringify(value, bytesAsBase64, indent) ?? "null");
}

function bytesAsBase64(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
}

/** JSON text with every character escaped that could steer a terminal; it still says the same. */
export function escapeJson(text: string): string {
  return text.replaceAll(HOSTILE_IN_JSON, (found) => {
    const units = Array.from({ length: found.length }, (_, at) => found.charCodeAt(at));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("");
  });
}

/** Columns that a text takes on a terminal. */
export function widthOf(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const grapheme of graphemes(text)) width += WIDE.test(grapheme) ? 2 : 1;
  return width;
}

/** The text, or as much of it as fits with an ellipsis at its end. */
export function cut(text: string, max: number): string {
  if (text.length <= max && ASCII.test(text)) return text;
  if (max <= 0) return "";
  if (text.length <= max * 20 && widthOf(text) <= max) return text;
  let [kept, width] = ["", 0];
  for (const grapheme of graphemes(text)) {
    width += widthOf(grapheme);
    if (width > max - 1) break;
    kept += grapheme;
  }
  return kept + ELLIPSIS;
}

/** Spaces up to `width` columns, behind the text, or before it. */
export function pad(text: string, width: number, side: "left" | "right" = "left"): string {
  const spaces = " ".repeat(Math.max(0, width - widthOf(text)));
  return side === "left" ? text + spaces : spaces + text;
}

/**
 * Lines of at most `width` columns, broken at spaces; a word that is longer than a line is broken where it must. `indent`
 * stands before the first line, `hanging` before the others.
 */
export function wrap(text: string, width: number, indent = "", hanging = indent): string[] {
  if (widthOf(indent) + widthOf(text) <= width) return [indent + text];
  const room = Math.max(8, width - Math.max(indent.length, hanging.length));
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ").flatMap((long) => chunks(long, room))) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > room) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((content, at) => (at === 0 ? indent : hanging) + content);
}

/** `1 agent`, `2 agents`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function chunks(word: string, room: number): string[] {
  if (widthOf(word) <= room) return [word];
  const found: string[] = [];
  let [chunk, width] = ["", 0];
  for (const grapheme of graphemes(word)) {
    if (width + widthOf(grapheme) > room) {
      found.push(chunk);
      [chunk, width] = ["", 0];
    }
    chunk += grapheme;
    width += widthOf(grapheme);
  }
  return [...found, chunk];
}

function* graphemes(text: string): Generator<string> {
  if (ASCII.test(text)) {
    yield* text;
    return;
  }
  segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" });
  for (const { segment } of segmenter.segment(text)) yield segment;
}
