import { expect, it } from "vitest";
import { delivery } from "../../test/support/consuming.ts";
import type { EffectLedger } from "../core/effect.ts";
import { HeraldError } from "../core/errors.ts";
import { DeliveryContext } from "./context.ts";

it("a context that is given nothing to record in refuses effects and transactions", async () => {
  const context = new DeliveryContext(delivery(), "a", "g");

  await expect(context.effect("pay", "1", () => 1)).rejects.toMatchObject({ code: "UNSUPPORTED" });
  expect(() => context.tx).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
});

it("a run that was cut short begins no effect", async () => {
  const context = new DeliveryContext(delivery(), "a", "g");
  let calls = 0;
  const ledger: EffectLedger = { run: async (_name, _key, effect) => (calls++, effect as never) };
  context.tools = { ledger: () => ledger, begin: () => expect.fail("nothing is written") };
  context.abort(new HeraldError("HANDLER_TIMEOUT", "Over."));

  await expect(context.effect("pay", "1", () => 1)).rejects.toMatchObject({ code: "HANDLER_TIMEOUT" });
  expect(calls).toBe(0);
});
