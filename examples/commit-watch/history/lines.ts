const NEWLINE = 0x0a;

/** One line of bytes, without its newline. */
export interface Line {
  readonly bytes: Buffer;
  /** True when the line went on and its rest was thrown away. */
  readonly cut: boolean;
}

/**
 * Splits a stream of bytes into lines, a chunk's lines at a time. A line is kept up to `maxBytes` and its rest thrown
 * away, so that a file of one endless line costs no more memory than any other.
 */
export async function* linesOf(
  stream: AsyncIterable<Buffer>,
  maxBytes: number,
): AsyncGenerator<Line[], void, undefined> {
  let rest = Buffer.alloc(0);
  let overflow = false;
  for await (const chunk of stream) {
    const lines: Line[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      lines.push(line(join(rest, chunk.subarray(from, at)), maxBytes, overflow));
      rest = Buffer.alloc(0);
      overflow = false;
      from = at + 1;
    }
    const tail = chunk.subarray(from, from + maxBytes + 1);
    overflow ||= rest.length + (chunk.length - from) > maxBytes;
    // A copy, so that a short rest does not hold a whole chunk.
    if (rest.length <= maxBytes) rest = Buffer.concat([rest, tail]);
    if (lines.length > 0) yield lines;
  }
  if (rest.length > 0) yield [line(rest, maxBytes, overflow)];
}

function join(rest: Buffer, more: Buffer): Buffer {
  return rest.length === 0 ? more : Buffer.concat([rest, more]);
}

function line(bytes: Buffer, maxBytes: number, overflow: boolean): Line {
  const cut = overflow || bytes.length > maxBytes;
  return { bytes: bytes.length > maxBytes ? bytes.subarray(0, maxBytes) : bytes, cut };
}
