import { onTestFinished } from "vitest";
import { MemoryBroker, type MemoryBrokerOptions } from "../../src/brokers/memory/broker.ts";
import { MessagingService } from "../../src/service/service.ts";
import type { MessagingServiceOptions } from "../../src/service/options.ts";
import { FakeClock } from "../../src/testing/fake-clock.ts";
import { SteppedTime } from "../../src/testing/time.ts";

/** Agents of one process on one memory broker and one fake clock; all stop with the test. */
export function world(options: MemoryBrokerOptions = {}) {
  const clock = new FakeClock();
  const time = new SteppedTime(clock);
  const broker = new MemoryBroker({ clock, ...options });
  const agent = async (
    agentId: string,
    more: Partial<MessagingServiceOptions> = {},
  ): Promise<MessagingService> => {
    const service = new MessagingService({ agentId, broker, clock, ...more });
    onTestFinished(() => time.drive(service.stop({ gracePeriodMs: 0 })).then(() => undefined));
    await service.start();
    return service;
  };
  return { clock, time, broker, agent };
}
