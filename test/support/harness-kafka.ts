import { Admin } from "@platformatic/kafka";
import { MessagingService } from "../../src/service/service.ts";
import type { Harness } from "../../src/testing/conformance/harness.ts";
import { kafkaAt } from "./child-kafka.ts";
import { childAt } from "./child-address.ts";
import type { TestKafka } from "./servers/kafka.ts";

/** The Kafka broker on a Kafka of its own, as the conformance suite takes it. */
export function kafkaHarness(server: () => TestKafka): Harness {
  const places = new Set<string>();
  return {
    name: "kafka",
    patienceMs: 30_000,
    async create({ place, address, longLeases }) {
      if (!places.has(place)) await removeTopics(server(), places);
      places.add(place);
      return kafkaAt(place, address ?? server().address, [], longLeases === true ? "long" : "short");
    },
    createService: (options) => new MessagingService(options),
    get child() {
      return childAt("child-kafka.ts", server().address);
    },
    get server() {
      return server();
    },
    scale: 0.02,
  };
}

/** The topics of cases that are over: a Kafka that is killed comes back the later, the more it has. */
async function removeTopics({ address }: TestKafka, places: Set<string>): Promise<void> {
  if (places.size === 0) return;
  const admin = new Admin({ clientId: "harness", bootstrapBrokers: [`${address.host}:${address.port}`] });
  try {
    const topics = await admin.listTopics();
    const over = topics.filter((topic) => places.has(topic.slice(0, topic.indexOf("."))));
    if (over.length > 0) await admin.deleteTopics({ topics: over });
    places.clear();
  } finally {
    await admin.close();
  }
}
