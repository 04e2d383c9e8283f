import type { Delivery } from "../../../src/core/delivery.ts";
import { createEnvelope, type Envelope } from "../../../src/core/envelope.ts";
import type { Socket } from "node:net";

/** One call across the wire. */
export interface Call {
  readonly n: number;
  readonly op: string;
  readonly args: readonly unknown[];
}

/** Its answer. */
export interface Answer {
  readonly n: number;
  readonly value?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

/** An envelope as text. */
export type Packed = Omit<Envelope, "body"> & { readonly body: string };

/** A delivery as text; its receipt is a number of the hub's. */
export type PackedDelivery = Omit<Delivery, "envelope" | "receipt"> & {
  readonly envelope: Packed;
  readonly receipt: number;
};

export function pack(envelope: Envelope): Packed {
  return { ...envelope, body: Buffer.from(envelope.body).toString("base64") };
}

export function unpack(packed: Packed): Envelope {
  return createEnvelope({ ...packed, body: new Uint8Array(Buffer.from(packed.body, "base64")) });
}

/** Calls back with each line of JSON that arrives whole. */
export function onLines(socket: Socket, each: (value: unknown) => void): void {
  let rest = "";
  socket.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) each(JSON.parse(line));
  });
}
