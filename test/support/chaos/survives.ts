import { expect } from "vitest";
import { conduct, type ChaosPlan } from "./conduct.ts";
import { STAGES } from "./stage.ts";

/** Hurts a broker by the plan; what it comes to must be clean, and must have been hurt as planned. */
export async function survives(broker: string, plan: Omit<ChaosPlan, "seed">): Promise<void> {
  const seed = Date.now() % 2 ** 31;
  await using stage = await (STAGES[broker] as NonNullable<(typeof STAGES)[string]>)(plan.messages);
  const report = await conduct(stage, { ...plan, seed });
  const figures = `${broker}, seed ${seed}`;
  expect(report.anomalies, figures).toEqual([]);
  expect(report.failures, figures).toEqual([]);
  expect(report.ok, JSON.stringify(report)).toBe(true);
  expect(report.clientKills, figures).toBeGreaterThanOrEqual(plan.cycles);
  expect(report.serverKills, figures).toBe(plan.serverKills);
  expect(report.flaps, figures).toBe(plan.flaps);
  expect(report.acknowledged, figures).toBeGreaterThanOrEqual(plan.messages * 0.95);
}
