import { isUtf8 } from "node:buffer";

const PREFIX = "data:;base64,";

/**
 * Headers are text here, and bytes in some technologies. Bytes that are UTF-8 are that text; others become a data URL
 * (RFC 2397) in base64, so that they can be stored, shown and given back anywhere.
 */
export function headerText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? buffer.toString("utf8") : PREFIX + buffer.toString("base64");
}

/** The bytes that {@link headerText} made a text of; of any other text its UTF-8. A broker whose headers are bytes stores these. */
export function headerBytes(text: string): Uint8Array {
  if (text.startsWith(PREFIX)) {
    const bytes = Buffer.from(text.slice(PREFIX.length), "base64");
    // An author's own text that merely looks like one stays what it is.
    if (headerText(bytes) === text) return bytes;
  }
  return Buffer.from(text, "utf8");
}
