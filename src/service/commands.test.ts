import { describe, expect, it, vi } from "vitest";
import { HeraldError } from "../core/errors.ts";
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

describe("a command", () => {
  it("reaches its handler as input, whole message and context, and answers with the result", async () => {
    const { agent } = world();
    const [boss, clerk] = [await agent("boss"), await agent("clerk")];
    const seen: unknown[] = [];
    await clerk.registerCommandHandler("file", async (input, message, context) => {
      seen.push(
        input,
        message.metadata.type,
        message.metadata.to,
        message.channel,
        context.attempt,
        context.agentId,
      );
      return { success: true };
    });

    await expect(boss.sendCommand("clerk", "file", { page: 1 })).resolves.toEqual({ success: true });
    expect(seen).toEqual([{ page: 1 }, "command", "clerk", "agent.clerk.commands.file", 1, "clerk"]);
  });

  it("that its agent does not have is NOT_FOUND at the caller, naming those that it has", async () => {
    const { agent } = world();
    const service = await agent("a");
    for (const name of ["zip", "file"]) await service.registerCommandHandler(name, () => 1);

    await expect(service.sendCommand("a", "fly", 1)).rejects.toMatchObject({
      name: "CommandError",
      code: "NOT_FOUND",
      message: "Agent 'a' has no command 'fly'; it has: file, zip.",
    });
  });

  it("of an agent that is not there is NO_RESPONDER", async () => {
    const { agent } = world();
    const service = await agent("a");

    await expect(service.sendCommand("nobody", "x", 1)).rejects.toMatchObject({ code: "NO_RESPONDER" });
  });

  it("of an agent id that is none is INVALID_ARGUMENT, and so is a message to one", async () => {
    const { agent } = world();
    const service = await agent("a");

    for (const id of [undefined, "", "a.b", "a b"]) {
      const wrong = expect.objectContaining({
        code: "INVALID_ARGUMENT",
        details: { field: "agentId" },
      }) as object;
      await expect(service.sendCommand(id as string, "x", 1)).rejects.toEqual(wrong);
      await expect(service.publishToAgent(id as string, 1)).rejects.toEqual(wrong);
    }
  });

  it("is answered by one of an agent's replicas", async () => {
    const { agent } = world();
    const [caller, one, two] = [await agent("caller"), await agent("a"), await agent("a")];
    const ran: string[] = [];
    await one.registerCommandHandler("work", (input) => ran.push(`one ${String(input)}`));
    await two.registerCommandHandler("work", (input) => ran.push(`two ${String(input)}`));

    await Promise.all([1, 2, 3, 4].map((n) => caller.sendCommand("a", "work", n)));

    expect(ran.map((text) => text.split(" ")[1]).toSorted()).toEqual(["1", "2", "3", "4"]);
  });

  it("is answered by its handler, not lost to a listener of the same agent on a pattern that covers it", async () => {
    const { agent } = world();
    const service = await agent("a");
    const heard: string[] = [];
    await service.subscribe("#", (message) => void heard.push(message.channel));
    await service.registerCommandHandler("work", (input) => input);

    for (let n = 0; n < 5; n++) await expect(service.sendCommand("a", "work", n)).resolves.toBe(n);
    expect(heard.filter((channel) => channel === "agent.a.commands.work")).toHaveLength(5);
  });

  it("is settled by its handler's return, also for an agent whose manifest says manual acknowledgment", async () => {
    const { agent } = world();
    const messaging = { reliability: { acknowledgment: { mode: "manual" } } };
    const service = await agent("a", { messaging });
    await service.registerCommandHandler("work", () => "done");

    await expect(service.sendCommand("a", "work", 1)).resolves.toBe("done");
    await expect
      .poll(async () => (await service.getConsumerLag({ group: "a" })).map(({ lag }) => lag))
      .toEqual([0]);
  });

  it("cannot be registered twice, under no name, or without a function", async () => {
    const { agent } = world();
    const service = await agent("a");
    await service.registerCommandHandler("work", () => 1);

    await expect(service.registerCommandHandler("work", () => 2)).rejects.toMatchObject({
      code: "ALREADY_EXISTS",
    });
    for (const name of ["", "a.b", "a b", "x".repeat(65), 7]) {
      await expect(service.registerCommandHandler(name as string, () => 1)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        details: { field: "name" },
      });
    }
    await expect(service.registerCommandHandler("other", undefined as never)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      details: { field: "handler" },
    });
    await expect(service.sendCommand("a", "work", 0)).resolves.toBe(1);
  });

  it("can be registered again when the broker refused its subscription", async () => {
    const { agent, broker } = world();
    const service = await agent("a");
    const refuse = vi
      .spyOn(broker, "subscribe")
      .mockRejectedValueOnce(new HeraldError("NOT_CONNECTED", "No broker."));

    await expect(service.registerCommandHandler("work", () => 1)).rejects.toMatchObject({
      code: "NOT_CONNECTED",
    });
    await service.registerCommandHandler("work", () => 2);

    expect(refuse).toHaveBeenCalledTimes(2);
    await expect(service.sendCommand("a", "work", 0)).resolves.toBe(2);
  });

  it("is forgotten with a stop, so that a restart binds it anew", async () => {
    const { agent, broker } = world();
    const service = await agent("a", {
      closeBroker: false,
      messaging: { commands: [{ name: "bound" }] },
      handlers: { bound: () => "bound" },
    });
    await service.registerCommandHandler("byHand", () => "first");
    await service.stop();
    await service.start();

    await expect(service.sendCommand("a", "bound", 0)).resolves.toBe("bound");
    await expect(service.sendCommand("a", "byHand", 0)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await service.registerCommandHandler("byHand", () => "second");
    await expect(service.sendCommand("a", "byHand", 0)).resolves.toBe("second");
    expect(broker.isClosed).toBe(false);
  });
});
