import { describe, expect, it } from "vitest";
import { world } from "../../test/support/agents.ts";
import type { MessagingService } from "./service.ts";

/** Calls as programs without types make them. */
const CALLS: Readonly<Record<string, (service: MessagingService, wrong: never) => Promise<unknown>>> = {
  "publish(options)": (service, wrong) => service.publish("x", 1, wrong),
  "broadcast(options)": (service, wrong) => service.broadcast(1, wrong),
  "request(options)": (service, wrong) => service.request("x", 1, wrong),
  "reply(message)": (service, wrong) => service.reply(wrong, 1),
  "publishBatch(messages)": (service, wrong) => service.publishBatch(wrong),
  "subscribe(handler)": (service, wrong) => service.subscribe("x", wrong),
  "subscribe(options.signal)": (service, wrong) => service.subscribe("x", () => {}, { signal: wrong }),
  "registerCommandHandler(handler)": (service, wrong) => service.registerCommandHandler("x", wrong),
  "registerCommandHandler(name)": (service, wrong) => service.registerCommandHandler(wrong, () => {}),
};

describe("what is none at all", () => {
  it.each(Object.entries(CALLS).flatMap(([name, call]) => [null, 7].map((wrong) => ({ name, call, wrong }))))(
    "is INVALID_ARGUMENT for $name, given $wrong, and the service goes on",
    async ({ call, wrong }) => {
      const { agent } = world();
      const service = await agent("a");

      await expect(call(service, wrong as never)).rejects.toMatchObject({
        name: "HeraldError",
        code: "INVALID_ARGUMENT",
        details: { field: expect.any(String) as string },
      });

      expect(service.listSubscriptions()).toEqual([]);
      await expect(service.publish("x", 1)).resolves.toEqual(expect.any(String));
    },
  );

  it("is NOT_FOUND for unsubscribe", async () => {
    const { agent } = world();
    const service = await agent("a");

    for (const wrong of [undefined, null, 7, {}]) {
      await expect(service.unsubscribe(wrong as never)).rejects.toMatchObject({ code: "NOT_FOUND" });
    }
  });
});
