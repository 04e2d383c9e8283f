import { describe, expect, it } from "vitest";
import type { Ability } from "../core/broker.ts";
import { HeraldError } from "../core/errors.ts";
import { PlainBroker } from "../../test/support/plain-broker.ts";
import { world } from "../../test/support/agents.ts";
import type { MessagingServiceOptions, SubscribeOptions } from "./options.ts";
import { MessagingService } from "./service.ts";

/** An attempt that waits for its retry needs `nackDelay`; without retries nothing is needed. */
const NO_RETRY = { retry: { maxAttempts: 1 } };
const OTHER_BROKER = "use a broker that has it.";

type Wanted = Ability | "ordering";

/** Options of a service on a broker that lacks one ability, and order. */
function lacking(ability: Wanted): Required<Pick<MessagingServiceOptions, "broker" | "retry">> {
  const off = ability === "ordering" ? [] : [ability];
  return { broker: new PlainBroker(world().broker, off), ...NO_RETRY };
}

/** What a refusal must name: broker, ability, agent, channel, and what would help. */
function expectRefusal(error: unknown, wanted: { ability: Wanted; channel: string; help: string }): void {
  const { ability, channel, help } = wanted;
  expect(error).toBeInstanceOf(HeraldError);
  const { code, message, details } = error as HeraldError;
  expect({ code, details }).toMatchObject({
    code: "UNSUPPORTED",
    details: { broker: "plain", ability, agentId: "a", channel },
  });
  const start = `The broker 'plain' cannot do '${ability}', which agent 'a' on '${channel}' needs for `;
  expect(message.startsWith(start), message).toBe(true);
  expect(message.endsWith(`: ${help}`), message).toBe(true);
}

function wrapper(name: string): string {
  return `wrap the broker in ${name} of herald/brokers/emulate, or use one that has it.`;
}

describe("what a broker cannot do", () => {
  it.each<[ability: Wanted, channel: string, options: SubscribeOptions, help: string]>([
    ["groups", "x", {}, OTHER_BROKER],
    ["broadcast", "x", { group: null }, wrapper("withBroadcast")],
    ["wildcard", "x.*", {}, wrapper("withWildcard")],
    ["wildcard", "x.#", {}, wrapper("withWildcard")],
    ["replayByPosition", "x", { from: "earliest" }, OTHER_BROKER],
    ["replayByPosition", "x", { from: { position: "1" } }, OTHER_BROKER],
    ["replayByTime", "x", { from: { time: 0 } }, OTHER_BROKER],
    ["nackDelay", "x", { retry: { maxAttempts: 2 } }, wrapper("withDelay")],
    ["ordering", "x", { ordering: "strict" }, OTHER_BROKER],
  ])("refuses a subscription that needs %s, on %s with %o", async (ability, channel, options, help) => {
    const { agent } = world();
    const service = await agent("a", lacking(ability));

    const error = await service.subscribe(channel, () => {}, options).catch((thrown: unknown) => thrown);

    expectRefusal(error, { ability, channel, help });
    expect(service.listSubscriptions()).toEqual([]);
  });

  it.each<[ability: Ability, options: object, help: string]>([
    ["delay", { delayMs: 1 }, wrapper("withDelay")],
    ["priority", { priority: "high" }, wrapper("withPriority")],
    ["dedupe", { dedupe: true }, OTHER_BROKER],
  ])("refuses a publish, and a request, that needs %s", async (ability, options, help) => {
    const { agent } = world();
    const service = await agent("a", lacking(ability));

    const error = await service.publish("x", 1, options).catch((thrown: unknown) => thrown);
    expectRefusal(error, { ability, channel: "x", help });
    const asked = await service.request("x", 1, options).catch((thrown: unknown) => thrown);
    expectRefusal(asked, { ability, channel: "x", help });

    await expect(service.publish("x", 1)).resolves.toEqual(expect.any(String));
    expect(service.getMetrics().published).toBe(1);
  });

  it("refuses requests where replies need broadcast, and commands where they need wildcards", async () => {
    const { agent } = world();
    const [mute, narrow] = [await agent("a", lacking("broadcast")), await agent("a", lacking("wildcard"))];

    await expect(mute.request("x", 1)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      details: { ability: "broadcast" },
    });
    await expect(narrow.registerCommandHandler("work", () => 1)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      details: { ability: "wildcard", channel: "agent.a.commands.*" },
    });
  });

  it.each<[ability: Wanted, messaging: Record<string, unknown>]>([
    [
      "nackDelay",
      { subscribes: [{ channel: "x", handler: "onX" }], reliability: { retry: { maxAttempts: 3 } } },
    ],
    ["wildcard", { subscribes: [{ channel: "x.*", handler: "onX" }] }],
    ["wildcard", { commands: [{ name: "onX" }] }],
    [
      "ordering",
      {
        subscribes: [{ channel: "x", handler: "onX" }],
        reliability: { ordering: { guarantee: "per-source" } },
      },
    ],
  ])("refuses to start where the manifest needs %s: %o", async (ability, messaging) => {
    const { broker } = world();
    const plain = new PlainBroker(broker, ability === "ordering" ? [] : [ability]);
    const handlers = { onX: () => {} };
    const retry = ability === "nackDelay" ? {} : NO_RETRY;
    const service = new MessagingService({ agentId: "a", broker: plain, messaging, handlers, ...retry });

    await expect(service.start()).rejects.toMatchObject({ code: "UNSUPPORTED", details: { ability } });

    expect(service.isRunning).toBe(false);
    expect(broker.isClosed).toBe(true);
  });

  it("is no hindrance where nobody needs it", async () => {
    const { agent, broker } = world();
    const off = [
      "priority",
      "delay",
      "nackDelay",
      "replayByPosition",
      "replayByTime",
      "wildcard",
      "dedupe",
    ] as const;
    const service = await agent("a", { broker: new PlainBroker(broker, off), ...NO_RETRY });
    await service.subscribe("x", (message) => message.payload, { from: "new" });

    await expect(service.request("x", 7)).resolves.toBe(7);
  });

  it("takes no retries from at-most-once, which has none", async () => {
    const { agent } = world();
    const { broker } = lacking("nackDelay");
    const service = await agent("a", { broker, defaultDeliveryGuarantee: "at-most-once" });

    await expect(service.subscribe("x", () => {})).resolves.toMatchObject({ group: "a" });
  });
});
