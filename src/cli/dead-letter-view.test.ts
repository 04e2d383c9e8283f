import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { Captured } from "../../test/cli/support/in-process.ts";
import { deadLetterJson, deadLetterPage, deadLetterTable, type DeadLetter } from "./dead-letter-view.ts";
import { Output } from "./output.ts";

const ENTRY: DeadLetter = {
  id: "m-1",
  channel: "orders.created",
  group: null,
  agentId: "packer",
  code: "MALFORMED",
  reason: "The body is not JSON \u009b2J",
  attempts: 1,
  failures: [{ attempt: 1, code: "MALFORMED", message: "The body is not JSON \u009b2J", at: 0 }],
  firstFailedAt: 0,
  lastFailedAt: 1000,
  redriven: 2,
  deadLetterChannel: "dlq.packer",
  position: "4",
  body: new Uint8Array([0x7b]),
  headers: { "x-redrive-count": "2" },
  message: undefined,
};

function output(columns: number): Output {
  const [stdout, stderr] = [new Captured(columns).terminal, new Captured(columns).terminal];
  return new Output(
    { json: false, quiet: false, verbose: false },
    { stdin: new PassThrough(), stdout, stderr },
    () => {},
  );
}

describe("deadLetterPage", () => {
  it("shows all that is known of a message that cannot be decoded", () => {
    expect(deadLetterPage(ENTRY, output(100))).toEqual([
      "id        m-1",
      "channel   orders.created (group none: a broadcast, agent packer)",
      "kept on   dlq.packer at 4",
      "code      MALFORMED",
      "attempts  1, sent back 2 times before",
      "  1970-01-01T00:00:00.000Z attempt 1 MALFORMED",
      "    The body is not JSON \\u{9b}2J",
      "header    x-redrive-count: 2",
      "payload   1 byte that cannot be decoded",
    ]);
  });
});

describe("deadLetterTable", () => {
  it("shows an id whole or not at all, and what matters most on a narrow terminal", () => {
    // oxlint-disable-next-line no-control-regex -- colours take no room.
    const plain = (lines: string[]) => lines.map((line) => line.replaceAll(/\u001b\[\d+m/g, ""));
    expect(plain(deadLetterTable([ENTRY], output(60)))).toEqual([
      "CHANNEL         CODE       REASON                      TRIES",
      "orders.created  MALFORMED  The body is not JSON \\u{9…      1",
    ]);
    expect(plain(deadLetterTable([ENTRY], output(40)))).toEqual([
      "CHANNEL         CODE       REASON",
      "orders.created  MALFORMED  The body is …",
    ]);
  });
});

describe("deadLetterJson", () => {
  it("has instants in ISO 8601 and the bytes in base64", () => {
    expect(deadLetterJson(ENTRY, true)).toMatchObject({
      group: null,
      firstFailedAt: "1970-01-01T00:00:00.000Z",
      lastFailedAt: "1970-01-01T00:00:01.000Z",
      failures: [{ at: "1970-01-01T00:00:00.000Z" }],
      message: null,
      bodyBase64: "ew==",
    });
  });
});
