import { expect, it } from "vitest";
import { MessagingService } from "./service.ts";
import type { SubscriptionHandle } from "./options.ts";

it("a handler may end its own subscription and await it: it handles that one message and no other", async () => {
  await using service = new MessagingService({ agentId: "once" });
  await service.start();
  const handled: unknown[] = [];
  const subscription: SubscriptionHandle = await service.subscribe(
    "jobs",
    async ({ payload }) => {
      handled.push(payload);
      await subscription.unsubscribe();
      await subscription.unsubscribe();
    },
    { maxConcurrency: 1 },
  );

  await service.publish("jobs", 1);
  await service.publish("jobs", 2);

  await expect
    .poll(() => service.getConsumerLag({ channel: "jobs" }))
    .toEqual([{ channel: "jobs", group: "once", lag: 1, unsettled: 0 }]);
  expect(handled).toEqual([1]);
});
