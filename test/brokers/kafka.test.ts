import { afterAll, beforeAll, describe, it } from "vitest";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { standsInReadme } from "../support/ability-matrix.ts";
import { kafkaHarness } from "../support/harness-kafka.ts";
import { startKafka, type TestKafka } from "../support/servers/kafka.ts";
import { whenStarted } from "../support/servers/when.ts";

whenStarted("kafka", "kafka", () => {
  let server: TestKafka;
  beforeAll(async () => {
    server = await startKafka();
  });
  afterAll(() => server.stop());

  testBroker(
    kafkaHarness(() => server),
    { describe, it },
  );
  standsInReadme(() => kafkaHarness(() => server), it);
});
