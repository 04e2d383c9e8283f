// oxlint-disable-next-line no-control-regex -- control characters are what is replaced; a tab is harmless.
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]|\p{Cf}/gu;
const REPLACEMENT = "\ufffd";

/**
 * Text from bytes of any kind. What is not UTF-8, and every character that could steer a terminal or hide text, becomes
 * U+FFFD, so that what a stranger committed can be shown and sent.
 */
export function textOf(bytes: Buffer): string {
  const end = bytes.at(-1) === 0x0d ? bytes.length - 1 : bytes.length;
  return bytes.toString("utf8", 0, end).replace(CONTROL, REPLACEMENT);
}

/** The first `max` characters, with an ellipsis where there were more. */
export function cutText(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}

/** What somebody threw, as one line that can be shown. */
export function messageOf(thrown: unknown): string {
  return textOf(Buffer.from(thrown instanceof Error ? thrown.message : String(thrown)));
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** A path as git prints it: as it is, or between double quotes with the escapes of C and bytes in octal. */
export function unquotePath(printed: Buffer): string {
  const text = printed.toString("latin1");
  if (!text.startsWith('"')) return textOf(printed);
  const bytes = text
    .slice(1, text.endsWith('"') ? -1 : undefined)
    .replace(/\\([0-7]{3}|.)/g, (_all, code: string) =>
      code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8) & 0xff) : (ESCAPES[code] ?? code),
    );
  return textOf(Buffer.from(bytes, "latin1"));
}
