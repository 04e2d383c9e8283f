import { describe, expect, it, vi } from "vitest";
import { world } from "../../test/support/agents.ts";
import { trimmed } from "../../test/support/schemas.ts";

describe("a command's contract", () => {
  const schemas = { inputSchema: { type: "integer" }, outputSchema: { type: "integer" } };
  const messaging = { commands: [{ name: "halve", ...schemas }, { name: "free" }] };

  it("refuses input that breaks it with SCHEMA_VIOLATION at the caller, the handler not started", async () => {
    const { agent } = world();
    const service = await agent("a", { messaging });
    const run = vi.fn((input: number) => input / 2);
    await service.registerCommandHandler("halve", run);

    await expect(service.sendCommand("a", "halve", "four")).rejects.toMatchObject({
      name: "CommandError",
      code: "SCHEMA_VIOLATION",
      message: expect.stringContaining("halve (input)") as string,
    });
    expect(run).not.toHaveBeenCalled();
    await expect(service.sendCommand("a", "halve", 4)).resolves.toBe(2);
  });

  it("refuses output that breaks it with SCHEMA_VIOLATION at the caller", async () => {
    const { agent } = world();
    const service = await agent("a", { messaging });
    await service.registerCommandHandler("halve", (input: number) => input / 2);

    await expect(service.sendCommand("a", "halve", 3)).rejects.toMatchObject({
      code: "SCHEMA_VIOLATION",
      message: expect.stringContaining("halve (output)") as string,
    });
  });

  it.each([
    ["at once", false],
    ["later", true],
  ])(
    "shows the handler what a Standard Schema made %s of the input, and the caller the handler's own output",
    async (_when, isLate) => {
      const { agent } = world();
      const commands = [{ name: "greet", inputSchema: trimmed(isLate), outputSchema: trimmed(isLate) }];
      const service = await agent("a", { messaging: { commands } });
      await service.registerCommandHandler("greet", (name: string) => `hello ${name} `);

      await expect(service.sendCommand("a", "greet", "  Ada ")).resolves.toBe("hello Ada ");
      await expect(service.sendCommand("a", "greet", 7)).rejects.toMatchObject({ code: "SCHEMA_VIOLATION" });
    },
  );

  it("lets anything through where the manifest has no schema, and answers null where the handler has nothing to say", async () => {
    const { agent } = world();
    const service = await agent("a", { messaging });
    await service.registerCommandHandler("free", () => {});

    await expect(service.sendCommand("a", "free", { any: "thing" })).resolves.toBeNull();
  });
});
