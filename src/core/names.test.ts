import { describe, expect, test } from "vitest";
import type { HeraldError } from "./errors.ts";
import { agentChannel, BROADCAST_CHANNEL, checkAgentId, commandChannel, deadLetterChannel } from "./names.ts";
import { isChannelName } from "./pattern.ts";

describe("the channels of an agent", () => {
  test("have the names that the documents fix", () => {
    expect(agentChannel("scanner")).toBe("agent-scanner");
    expect(commandChannel("scanner", "scan")).toBe("agent.scanner.commands.scan");
    expect(deadLetterChannel("scanner")).toBe("dlq.scanner");
    expect(BROADCAST_CHANNEL).toBe("hub-broadcast");
  });

  test("are channel names for every id that passes its check", () => {
    for (const id of ["a", "A_b:c-9", "x".repeat(100)]) {
      expect(() => checkAgentId(id)).not.toThrow();
      const names = [agentChannel(id), commandChannel(id, "c"), deadLetterChannel(id), BROADCAST_CHANNEL];
      expect(names.every(isChannelName)).toBe(true);
    }
  });
});

describe("checkAgentId", () => {
  test.each([
    "",
    "a.b",
    "*",
    "a b",
    "../a",
    "a\n",
    "a\0",
    "\u202ea",
    "x".repeat(101),
    5,
    null,
    undefined,
    1n,
    {},
    Object.create(null),
  ])("what cannot be a token is refused on one short line: %#", (id) => {
    let error: HeraldError | undefined;
    try {
      checkAgentId(id);
    } catch (thrown) {
      error = thrown as HeraldError;
    }
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", details: { field: "agentId" } });
    expect(error?.message).toMatch(/^[^\p{Cc}\p{Cf}]{1,250}$/u);
  });
});
