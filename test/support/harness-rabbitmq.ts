import { MessagingService } from "../../src/service/service.ts";
import type { Harness, ServerControl } from "../../src/testing/conformance/harness.ts";
import { childAt } from "./child-address.ts";
import { rabbitAt } from "./child-rabbitmq.ts";
import type { TestRabbit } from "./servers/rabbitmq.ts";

/** The RabbitMQ broker on a RabbitMQ of its own, as the conformance suite takes it. */
export function rabbitHarness(server: () => TestRabbit): Harness {
  return {
    name: "rabbitmq",
    patienceMs: 30_000,
    create: ({ place, address }) => rabbitAt(place, address ?? server().address),
    createService: (options) => new MessagingService(options),
    get child() {
      return childAt("child-rabbitmq.ts", server().address);
    },
    get server() {
      return controlOf(server());
    },
    scale: 0.02,
  };
}

/** The server as a case may hurt it: never while a queue is younger than RabbitMQ takes to write down its name. */
export function controlOf(rabbit: TestRabbit): ServerControl {
  return {
    address: rabbit.address,
    start: () => rabbit.start(),
    pause: () => rabbit.pause(),
    resume: () => rabbit.resume(),
    // The page of the broker says so too: until then a kill loses the queue, whatever it has confirmed.
    kill: async () => {
      await rabbit.settled();
      await rabbit.kill();
    },
  };
}
