import { describe, expect, test, vi } from "vitest";
import { emit, EVENTS } from "./events.ts";
import { silentLogger } from "./logger.ts";

describe("emit", () => {
  test("makes nothing while nobody listens", () => {
    const make = vi.fn(() => ({}));
    emit("published", make);
    expect(make).not.toHaveBeenCalled();
  });

  test("hands the event to those who listen to its channel, and stops when they do", () => {
    const listener = vi.fn();
    EVENTS.fault.subscribe(listener);
    emit("fault", () => ({ where: "settle" }));
    emit("settled", () => ({ where: "elsewhere" }));
    EVENTS.fault.unsubscribe(listener);
    emit("fault", () => ({ where: "later" }));
    expect(listener).toHaveBeenCalledExactlyOnceWith({ where: "settle" }, "herald:fault");
  });

  test("every channel's name begins with herald:", () => {
    const names = Object.values(EVENTS).map((event) => String(event.name));
    expect(names.every((name) => name.startsWith("herald:"))).toBe(true);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("silentLogger", () => {
  test("has every level and writes nothing", () => {
    const write = vi.spyOn(process.stdout, "write");
    const writeError = vi.spyOn(process.stderr, "write");
    for (const level of ["debug", "info", "warn", "error"] as const) silentLogger[level]({ secret: 1 }, "x");
    expect(write).not.toHaveBeenCalled();
    expect(writeError).not.toHaveBeenCalled();
    vi.restoreAllMocks();
  });
});
