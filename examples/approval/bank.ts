import type { Message, MessagingService } from "../../src/index.ts";

/** The handlers of the manifest. Under exactly-once what is published here takes effect once for each approval. */
export default function bank(agent: MessagingService) {
  return {
    async pay({ payload: { to, amount } }: Message<{ to: string; amount: number }>): Promise<void> {
      await agent.publish("payments.made", { to, amount });
    },
  };
}
