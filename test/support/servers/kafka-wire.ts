import type { Address } from "../../../src/testing/conformance/harness.ts";
import { exchange } from "./exchange.ts";

const METADATA = 3;
const VERSION = 1;

/**
 * Ids of the brokers that a Kafka, of which a port alone is one on loopback, sends its clients to: those that are registered and not fenced. Rejects when
 * it cannot be reached. The request is `Metadata` version 1 of the Kafka protocol, for no topic.
 */
export function brokersOf(at: number | Address): Promise<readonly number[]> {
  return exchange(at, metadataRequest(), (received) => {
    if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return undefined;
    let from = 8;
    const int16 = () => received.readInt16BE((from += 2) - 2);
    const int32 = () => received.readInt32BE((from += 4) - 4);
    const skipText = () => {
      const length = int16();
      from += Math.max(0, length);
    };
    return Array.from({ length: int32() }, () => {
      const id = int32();
      skipText();
      int32();
      skipText();
      return id;
    });
  });
}

function metadataRequest(): Buffer {
  const client = "herald";
  const request = Buffer.alloc(4 + 8 + 2 + client.length + 4);
  let at = request.writeInt32BE(request.length - 4, 0);
  at = request.writeInt16BE(METADATA, at);
  at = request.writeInt16BE(VERSION, at);
  at = request.writeInt32BE(1, at);
  at = request.writeInt16BE(client.length, at);
  at += request.write(client, at);
  request.writeInt32BE(0, at);
  return request;
}
