import { describe, expect, it } from "vitest";
import { readManifest } from "./read-manifest.ts";

function withFilter(filter: object) {
  return readManifest(
    JSON.stringify({
      apiVersion: "ossa/v0.3.0",
      kind: "Agent",
      metadata: { name: "a" },
      spec: { messaging: { subscribes: [{ channel: "x.y", filter }] } },
    }),
  );
}

describe("a filter in a manifest", () => {
  it("that can be compiled is read", () => {
    const filter = { fields: { severity: ["high", "critical"] }, expression: "${{ message.payload.n > 3 }}" };

    expect(withFilter(filter)).toMatchObject({ valid: true, errors: [] });
  });

  it.each([
    ["an expression that is none", { expression: "payload.n >" }, "expression"],
    ["an operator that is unknown", { fields: { n: { $gtt: 3 } } }, "fields"],
  ])("with %s is an error at its place", (_name, filter, key) => {
    const report = withFilter(filter);

    expect(report.valid).toBe(false);
    expect(report.errors).toMatchObject([{ path: `spec.messaging.subscribes[0].filter.${key}`, line: 1 }]);
  });
});
