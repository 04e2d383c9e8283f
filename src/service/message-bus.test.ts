import { expect, it, onTestFinished } from "vitest";
import { CoordinationMode, FailoverBroker } from "../brokers/failover/broker.ts";
import { MemoryBroker } from "../brokers/memory/broker.ts";
import { createEnvelope } from "../core/envelope.ts";
import { RealTime } from "../testing/time.ts";
import { StagedServer } from "../../test/support/staged-server.ts";
import { BaseAgent } from "./base-agent.ts";
import { historyOf } from "./bus-history.ts";
import { ChannelNames, MessagePriority, MessageType, type BusMessage } from "./bus-message.ts";
import { MessageBus } from "./message-bus.ts";

const time = new RealTime();
const message = (payload: unknown, options = {}) =>
  MessageBus.createMessage(MessageType.CUSTOM, "hub", payload, options);

async function started(server = new StagedServer(), agentId = "hub") {
  const broker = new FailoverBroker({
    primary: server.client(),
    fallback: new MemoryBroker(),
    coordination: { retryInterval: 20, holdDownMs: 50, transitionCooldown: 10, healthCheckInterval: 20 },
  });
  const bus = new MessageBus({ agentId, broker, config: { retryDelay: 5, retryAttempts: 2 } });
  await bus.start();
  onTestFinished(() => bus.stop());
  return { bus, server, broker };
}

const isTrue = () => true;
const isFalse = () => false;

class Recorder extends BaseAgent {
  readonly own: BusMessage[] = [];
  readonly all: BusMessage[] = [];
  protected override handleMessage(received: BusMessage): void {
    this.own.push(received);
  }
  protected override handleBroadcast(received: BusMessage): void {
    this.all.push(received);
  }
}

it("an agent gets what is meant for it and what is meant for all, and the hub what agents say", async () => {
  const { bus } = await started();
  const alice = new Recorder("alice", bus);
  const bob = new Recorder("bob", bus);
  await alice.start();
  await bob.start();
  const heard: BusMessage[] = [];
  await bus.subscribe(ChannelNames.hub(), (received) => void heard.push(received));

  const sent = message({ n: 1 }, { priority: MessagePriority.CRITICAL, ttl: 5000, correlationId: "c" });
  await bus.publishToAgent("alice", sent);
  await bus.broadcast(message("all"));
  await alice.sendToHub({ done: true });

  await time.until(
    () => alice.own.length + alice.all.length + bob.all.length + heard.length === 4,
    "four messages",
  );
  expect(alice.own[0]).toEqual({ ...sent, to: "alice" });
  expect(bob.own).toEqual([]);
  expect(heard[0]).toMatchObject({ from: "alice", to: "hub", type: "custom", payload: { done: true } });
  await alice.stop();
  await bus.broadcast(message("again"));
  await time.until(() => bob.all.length === 2, "the second broadcast");
  expect(alice.all).toHaveLength(1);
});

it("subscriptions outlive a switch to files and back, and nothing published is lost", async () => {
  const { bus, server } = await started();
  const got: unknown[] = [];
  const switches: unknown[] = [];
  const changes: unknown[] = [];
  bus.on("transportSwitched", (about) => void switches.push(about));
  bus.on("modeChanged", (about) => void changes.push(about));
  await bus.subscribe("agent-*", ({ payload }) => void got.push(payload));
  let n = 0;
  const publish = async (count: number) => {
    for (let i = 0; i < count; i++) await bus.publishToAgent("a", message(n++));
  };

  await publish(10);
  await server.kill();
  await publish(10);
  await time.until(() => bus.getMode() === CoordinationMode.ISOLATED, "isolation");
  await publish(10);
  expect(bus.getStats()).toMatchObject({ mode: "isolated", transport: { type: "memory", connected: true } });
  await server.start();
  await time.until(() => bus.getMode() === CoordinationMode.DISTRIBUTED, "the way back");
  await publish(10);

  await time.until(
    () => got.length >= 40,
    () => `forty messages; ${got.length} came`,
  );
  expect([...new Set(got)].toSorted((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: 40 }, (_none, at) => at),
  );
  expect(got).toHaveLength(40);
  expect(switches).toEqual([
    { from: "distributed", to: "isolated" },
    { from: "isolated", to: "degraded" },
  ]);
  expect(changes).toHaveLength(3);
  expect(bus.getStats()).toMatchObject({
    modeTransitions: 3,
    isTransitioning: false,
    transport: { type: "staged" },
    delivery: { totalReceived: 40, totalFailed: 0 },
  });
});

it("a handler that throws is told and tried again; the others run once", async () => {
  const { bus } = await started();
  const errors: unknown[] = [];
  bus.on("handlerError", ({ channel, error }) => void errors.push([channel, (error as Error).message]));
  let calls = 0;
  let others = 0;
  await bus.subscribe("work", () => {
    if (++calls < 3) throw new Error(`failed ${calls}`);
  });
  await bus.subscribe("work", () => void others++);

  await bus.publish("work", message(1));

  await time.until(() => calls === 3, "the third attempt");
  expect(others).toBe(1);
  expect(errors).toEqual([
    ["work", "failed 1"],
    ["work", "failed 2"],
  ]);
});

it("what is no message is told as parseError", async () => {
  const { bus, broker } = await started();
  const errors: unknown[] = [];
  bus.on("parseError", ({ channel, rawMessage }) => void errors.push([channel, rawMessage]));
  await bus.subscribe("work", () => {});
  const body = new TextEncoder().encode("{not json");
  await broker.publish([
    createEnvelope({ id: "x", channel: "work", source: "tool", time: Date.now(), body }),
  ]);
  await time.until(() => errors.length === 1, "the error");
  expect(errors).toEqual([["work", "{not json"]]);
});

it("refuses what is no bus message, naming the field", async () => {
  const { bus } = await started();
  for (const [field, value] of Object.entries({
    id: "",
    timestamp: "now",
    type: 1,
    from: "",
    priority: 7,
    ttl: -1,
  }))
    await expect(bus.publish("c", { ...message(1), [field]: value } as BusMessage)).rejects.toThrow(
      `'${field}'`,
    );
});

it("knows its channels by name", () => {
  expect(ChannelNames.agent("a1")).toBe("agent-a1");
  expect(ChannelNames.broadcast()).toBe("hub-broadcast");
  expect(ChannelNames.coordination("mode_change")).toBe("coordination:mode_change");
  expect(ChannelNames.system("x")).toBe("system:x");
  expect(ChannelNames.extractAgentId("agent-a1")).toBe("a1");
  expect(ChannelNames.extractAgentId("agent-")).toBeUndefined();
  expect(ChannelNames.isAgentChannel("hub")).toBe(false);
});

it("what is kept of a channel is read newest first, by any party, as it was published", async () => {
  const { bus } = await started();
  const sent: BusMessage[] = [];
  for (let n = 0; n < 5; n++) {
    sent.push(message({ n }, { priority: MessagePriority.NORMAL, ttl: 60_000, correlationId: "c" }));
    await bus.publish("orders", sent[n] as BusMessage);
  }

  expect(await bus.getMessageHistory("orders")).toEqual(sent.toReversed());
  expect((await bus.getMessageHistory("orders", 2)).map(({ payload }) => payload)).toEqual([
    { n: 4 },
    { n: 3 },
  ]);
  expect(await bus.getMessageHistory("nothing")).toEqual([]);
  await expect(bus.getMessageHistory("orders", 0)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await expect(bus.getMessageHistory("no channel")).rejects.toMatchObject({ code: "INVALID_CHANNEL" });
});

it("the history is of both sides of a failover broker, by time, each message once", async () => {
  const { bus, broker } = await started();
  await bus.subscribe("orders", () => undefined);
  await bus.publish("orders", message(1));
  await broker.control.switchTo(CoordinationMode.ISOLATED);
  await bus.publish("orders", message(2));
  await time.until(async () => (await broker.control.counts()).unhandled === 0, "both handled");
  const back = () => broker.control.switchTo(CoordinationMode.DISTRIBUTED);
  await time.until(() => back().then(isTrue, isFalse), "the cooldown over");
  await bus.publish("orders", message(3));

  const payloads = async () => (await bus.getMessageHistory("orders")).map(({ payload }) => payload);
  expect(await payloads()).toEqual([3, 2, 1]);
  await time.until(
    async () => (await broker.control.counts()).undrained === 0,
    "what lay in files handed over",
  );
  expect(await payloads()).toEqual([3, 2, 1]);
});

it("the history of a channel passes over what cannot be decoded, and needs a broker that shows what it keeps", async () => {
  const broker = new MemoryBroker();
  const bus = new MessageBus({ agentId: "hub", broker });
  await expect(bus.getMessageHistory("orders")).rejects.toMatchObject({ code: "CLOSED" });
  await bus.start();
  onTestFinished(() => bus.stop());
  await broker.publish([
    createEnvelope({ id: "1", channel: "orders", source: "x", time: Date.now(), body: Buffer.from("{") }),
  ]);
  await bus.publish("orders", message("whole"));

  expect((await bus.getMessageHistory("orders")).map(({ payload }) => payload)).toEqual(["whole"]);
  await expect(historyOf(undefined, { channel: "orders", count: 1 })).rejects.toMatchObject({
    code: "UNSUPPORTED",
  });
});
