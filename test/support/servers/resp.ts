import { exchange } from "./exchange.ts";

/** An answer of a Redis server; an error answer is thrown as an `Error`. */
export type Reply = string | number | null | readonly Reply[];

/** Asks a server on loopback one command over a connection of its own. Rejects when it cannot be reached or refuses. */
export async function ask(port: number, ...command: readonly string[]): Promise<Reply> {
  const { value } = await exchange(port, encode(command), (bytes) => decode(bytes.toString("latin1"), 0));
  if (value instanceof Error) throw value;
  return value;
}

function encode(command: readonly string[]): string {
  return `*${command.length}\r\n${command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join("")}`;
}

/** One value of RESP 2 that begins at `from`, and where it ends; undefined while it is not there whole. */
function decode(
  text: string,
  from: number,
): { readonly value: Reply | Error; readonly end: number } | undefined {
  const lineEnd = text.indexOf("\r\n", from);
  if (lineEnd === -1) return undefined;
  const line = text.slice(from + 1, lineEnd);
  const end = lineEnd + 2;
  const kind = text[from];
  if (kind === "+") return { value: line, end };
  if (kind === "-") return { value: new Error(line), end };
  const size = Number(line);
  if (kind === ":") return { value: size, end };
  if (size === -1) return { value: null, end };
  if (kind === "*") return decodeList(text, end, size);
  return text.length < end + size + 2
    ? undefined
    : { value: text.slice(end, end + size), end: end + size + 2 };
}

function decodeList(text: string, from: number, size: number): { value: Reply; end: number } | undefined {
  const items: Reply[] = [];
  let end = from;
  while (items.length < size) {
    const item = decode(text, end);
    if (item === undefined) return undefined;
    items.push(item.value instanceof Error ? item.value.message : item.value);
    ({ end } = item);
  }
  return { value: items, end };
}
