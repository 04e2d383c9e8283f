import { describe, expect, it } from "vitest";
import { FakeClock } from "../../testing/fake-clock.ts";
import {
  CoordinationModeManager,
  type CoordinationModeManagerOptions,
  type HealthReport,
} from "./coordination-mode.ts";

const HEALTHY: HealthReport = { status: "healthy", latencyMs: 1 };
const SLOW: HealthReport = { status: "degraded", latencyMs: 150 };
const DEAD: HealthReport = { status: "unhealthy", latencyMs: null };

async function managed(options: Partial<CoordinationModeManagerOptions> = {}, first = HEALTHY) {
  const clock = new FakeClock();
  const events: string[] = [];
  const state = { report: first };
  const manager = new CoordinationModeManager({ probe: async () => state.report, clock, ...options });
  manager.on("modeChanged", (from, to) => void events.push(`modeChanged ${from} ${to}`));
  manager.on("transitionStarted", (from, to) => void events.push(`transitionStarted ${from} ${to}`));
  manager.on("transitionComplete", (mode) => void events.push(`transitionComplete ${mode}`));
  manager.on("transitionFailed", (error) => void events.push(`transitionFailed ${error.message}`));
  manager.on("notification", ({ action }) => void events.push(action));
  await manager.start();
  return { manager, clock, events, state };
}

describe("the first mode", () => {
  it.each([
    [HEALTHY, "distributed"],
    [SLOW, "degraded"],
    [DEAD, "isolated"],
  ] as const)("follows the first probe, and is announced from null: %j", async (report, mode) => {
    const { manager, events } = await managed({}, report);
    expect(manager.getMode()).toBe(mode);
    expect(events).toEqual([`modeChanged null ${mode}`]);
  });

  it("is isolated when the probe rejects", async () => {
    const { manager } = await managed({ probe: () => Promise.reject(new Error("no")) });
    expect(manager.getMode()).toBe("isolated");
  });
});

describe("down", () => {
  it("takes three bad probes, not two", async () => {
    const { manager, clock, state } = await managed();
    state.report = DEAD;
    await clock.advanceAsync(5000 + 1000);
    expect(manager.getMode()).toBe("distributed");
    await clock.advanceAsync(1000);
    expect(manager.getMode()).toBe("isolated");
  });

  it("takes one probe that is not answered in time", async () => {
    const { manager, clock, state } = await managed();
    state.report = { ...DEAD, isDeadline: true };
    await clock.advanceAsync(5000);
    expect(manager.getMode()).toBe("isolated");
  });

  it("takes three failed calls in a row, or one that was not answered in time", async () => {
    for (const failures of [3, 1]) {
      const { manager, clock } = await managed();
      for (let n = 1; n < failures; n++) manager.recordFailure("x");
      manager.recordSuccess();
      for (let n = 1; n < failures; n++) manager.recordFailure("x");
      expect(manager.getMode()).toBe("distributed");
      manager.recordFailure("x", failures === 1);
      await clock.advanceAsync(0);
      expect(manager.getMode()).toBe("isolated");
    }
  });

  it("takes half of the calls, when they are twenty", async () => {
    const { manager, clock } = await managed();
    for (let n = 0; n < 20; n++) {
      manager.recordFailure("x");
      manager.recordSuccess();
    }
    await clock.advanceAsync(0);
    expect(manager.getMode()).toBe("isolated");
  });

  it("goes to degraded when the primary is slow for three probes, and back when it is not", async () => {
    const { manager, clock, state } = await managed();
    state.report = SLOW;
    await clock.advanceAsync(5000 + 2000);
    expect(manager.getMode()).toBe("degraded");
    state.report = HEALTHY;
    await clock.advanceAsync(10_000);
    expect(manager.getMode()).toBe("distributed");
  });
});

describe("up", () => {
  it("waits for the hold-down, by way of degraded", async () => {
    const { manager, clock, events, state } = await managed({}, DEAD);
    state.report = HEALTHY;
    await clock.advanceAsync(10_000);
    expect(manager.getMode()).toBe("isolated");
    await clock.advanceAsync(2000);
    expect(manager.getMode()).toBe("degraded");
    await clock.advanceAsync(10_000);
    expect(manager.getMode()).toBe("distributed");
    expect(events).toEqual([
      "modeChanged null isolated",
      "transitionStarted isolated degraded",
      "RESUME_COORDINATION",
      "modeChanged isolated degraded",
      "transitionComplete degraded",
      "transitionStarted degraded distributed",
      "MERGE_TO_MAIN",
      "modeChanged degraded distributed",
      "transitionComplete distributed",
    ]);
  });

  it("starts the hold-down again with every failure: a primary that flaps changes nothing", async () => {
    const { manager, clock, events, state } = await managed({}, DEAD);
    for (let n = 0; n < 60; n++) {
      state.report = n % 5 === 4 ? DEAD : HEALTHY;
      await clock.advanceAsync(1000);
    }
    expect(manager.getMode()).toBe("isolated");
    expect(events).toHaveLength(1);
  });

  it("keeps the mode when an action rejects, and tries again", async () => {
    let calls = 0;
    const actions = async () => {
      if (++calls === 1) throw new Error("not yet");
    };
    const { manager, clock, events, state } = await managed({ actions }, DEAD);
    state.report = HEALTHY;
    await clock.advanceAsync(11_000);
    expect(manager.getMode()).toBe("isolated");
    expect(events.at(-1)).toBe("transitionFailed not yet");
    await clock.advanceAsync(1000);
    expect(manager.getMode()).toBe("degraded");
  });
});

describe("by hand", () => {
  it("every pair of modes is legal, in order, and kept in the history", async () => {
    const modes = ["degraded", "isolated", "distributed", "isolated", "degraded", "distributed"] as const;
    const { manager, clock } = await managed({
      healthCheckInterval: 1e9,
      modeCheckInterval: 1e9,
      retryInterval: 1e9,
    });
    for (const mode of modes) {
      await manager.switchMode(mode, `to ${mode}`);
      expect(manager.getMode()).toBe(mode);
      await clock.advanceAsync(5000);
    }
    expect(manager.getModeHistory().map(({ to, reason, epoch }) => [to, reason, epoch])).toEqual([
      ["distributed", "Started", 1],
      ...modes.map((mode, at) => [mode, `to ${mode}`, at + 2]),
    ]);
  });

  it("the same mode is no switch, and within the cooldown it is refused without a throw", async () => {
    const { manager, events } = await managed();
    await manager.switchMode("distributed");
    expect(events).toHaveLength(1);
    await manager.switchMode("isolated");
    await manager.switchMode("distributed");
    expect(manager.getMode()).toBe("isolated");
    expect(events.at(-1)).toBe("transitionFailed Transition cooldown active");
  });

  it("isolated stays until it is switched by hand or released", async () => {
    const { manager, clock } = await managed();
    await manager.switchMode("isolated");
    await clock.advanceAsync(120_000);
    expect([manager.getMode(), manager.isPinned]).toEqual(["isolated", true]);
    manager.release();
    await clock.advanceAsync(30_000);
    expect(manager.getMode()).toBe("distributed");
  });
});

it("compares the mode with a probe every thirty seconds", async () => {
  const { manager, clock, state } = await managed({ healthDegradationThreshold: 1000 });
  state.report = DEAD;
  await clock.advanceAsync(29_000);
  expect(manager.getMode()).toBe("distributed");
  await clock.advanceAsync(1000);
  expect(manager.getModeHistory().at(-1)).toMatchObject({
    to: "isolated",
    reason: "Periodic health check detected change",
  });
});

it("a state store that fails stops nothing and is told", async () => {
  const state = { save: () => Promise.reject(new Error("full")), notify: () => Promise.resolve() };
  const clock = new FakeClock();
  const manager = new CoordinationModeManager({ probe: async () => HEALTHY, clock, state });
  const told: string[] = [];
  manager.on("stateError", ({ message }) => void told.push(message));
  await manager.start();
  expect([manager.getMode(), told]).toEqual(["distributed", ["full"]]);
});

it("refuses options that make no sense, naming the field, and holds no timer once stopped", async () => {
  expect(() => new CoordinationModeManager({ probe: async () => HEALTHY, holdDownMs: -1 })).toThrow(
    "holdDownMs",
  );
  const { manager, clock } = await managed();
  manager.stop();
  expect(clock.pending).toBe(0);
});
