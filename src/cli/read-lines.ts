import { HeraldError } from "../core/errors.ts";

const LINE_FEED = 0x0a;

/**
 * The lines of a stream as bytes, without their line feeds; a last line without one counts too. A line over `maxBytes` is
 * `MESSAGE_TOO_LARGE`: what never ends must not fill the memory.
 */
export async function* readLines(stream: AsyncIterable<Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  let held = 0;
  for await (const part of stream) {
    let chunk = part;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED)) {
      yield Buffer.concat([...rest, chunk.subarray(0, at)]);
      [rest, held] = [[], 0];
      chunk = chunk.subarray(at + 1);
    }
    if (chunk.length === 0) continue;
    rest.push(chunk);
    held += chunk.length;
    if (held > maxBytes) throw tooLong(maxBytes);
  }
  if (held > 0) yield Buffer.concat(rest);
}

/** All of a stream as bytes, up to `maxBytes`; more is `MESSAGE_TOO_LARGE`. */
export async function readAll(stream: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let held = 0;
  for await (const part of stream) {
    held += part.length;
    if (held > maxBytes) throw tooLong(maxBytes);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function tooLong(maxBytes: number): HeraldError {
  return new HeraldError("MESSAGE_TOO_LARGE", `One message of the input has more than ${maxBytes} bytes.`, {
    details: { maxBytes },
  });
}
