import { describe, expect, test } from "vitest";
import { createId } from "./ids.ts";
import { childTrace, traceOf } from "./trace.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const TRACEPARENT = `00-${TRACE}-${SPAN}-01`;

describe("traceOf", () => {
  test("reads the ids of a traceparent", () => {
    expect(traceOf(TRACEPARENT)).toEqual({ traceId: TRACE, spanId: SPAN });
  });

  test.each([
    "",
    "00",
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-01-extra`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `ff-${TRACE}-${SPAN}-01`,
    `${TRACEPARENT}\n`,
  ])("%j is none", (text) => {
    expect(traceOf(text)).toBeUndefined();
  });
});

describe("childTrace", () => {
  test("a child keeps the parent's trace and has a span of its own", () => {
    const id = createId();
    const child = traceOf(childTrace({ traceparent: TRACEPARENT, id: "p" }, id) ?? "");
    expect(child?.traceId).toBe(TRACE);
    expect(child?.spanId).not.toBe(SPAN);
    expect(childTrace({ traceparent: TRACEPARENT, id: "p" }, id)).not.toBe(
      childTrace({ traceparent: TRACEPARENT, id: "p" }, createId()),
    );
  });

  test("a parent without a trace, or with one that cannot be read, starts it under its own id", () => {
    const parent = createId();
    for (const traceparent of [undefined, "broken"]) {
      expect(traceOf(childTrace({ traceparent, id: parent }, createId()) ?? "")?.traceId).toBe(
        parent.replaceAll("-", ""),
      );
    }
  });

  test("without an id to make one from there is none", () => {
    expect(childTrace({ traceparent: undefined, id: "order-1" }, createId())).toBeUndefined();
    expect(childTrace({ traceparent: TRACEPARENT, id: "p" }, "order-2")).toBeUndefined();
  });
});
