import { createEnvelope, type Envelope, type EnvelopeInit } from "../../src/core/envelope.ts";

let count = 0;

/** An envelope with everything filled in that a test does not care about. */
export function envelope(init: Partial<EnvelopeInit> = {}): Envelope {
  return createEnvelope({
    id: `t-${count++}`,
    channel: "c",
    source: "test",
    time: 1000,
    body: new Uint8Array([1]),
    ...init,
  });
}
