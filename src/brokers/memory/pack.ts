import { createEnvelope, type Envelope } from "../../core/envelope.ts";
import type { Failure } from "../../core/delivery.ts";
import { Entry } from "./entry.ts";
import type { GroupQueue } from "./group-queue.ts";

type Row = [sequence: number, attempt: number, bodyBytes: number, envelope: Omit<Envelope, "body">, failures: readonly Failure[]];

/** A run of waiting entries as two buffers: a deep backlog then costs its bytes, not its objects. */
export interface Packed {
  readonly rows: Uint8Array;
  readonly bodies: Uint8Array;
}

/** Packs entries whose envelopes nobody else holds. */
export function pack(entries: readonly Entry[]): Packed {
  const rows = entries.map((entry): Row => {
    const { body, ...rest } = entry.envelope;
    return [entry.sequence, entry.attempt, body.byteLength, rest, entry.failures];
  });
  return {
    rows: Buffer.from(JSON.stringify(rows)),
    bodies: Buffer.concat(entries.map((entry) => entry.envelope.body)),
  };
}

/** The entries again, in their order. */
export function unpack(packed: Packed, queue: GroupQueue): Entry[] {
  const rows = JSON.parse(Buffer.from(packed.rows.buffer, packed.rows.byteOffset, packed.rows.byteLength).toString()) as Row[];
  let offset = 0;
  return rows.map(([sequence, attempt, bodyBytes, rest, failures]) => {
    const body = packed.bodies.subarray(offset, offset + bodyBytes);
    offset += bodyBytes;
    const envelope = createEnvelope({ ...rest, body });
    return new Entry(queue, envelope, { sequence, tally: queue.tallyOf(envelope.channel) }, { attempt, failures });
  });
}
