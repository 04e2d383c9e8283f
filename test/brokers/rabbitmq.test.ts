import { afterAll, beforeAll, describe, it } from "vitest";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { standsInReadme } from "../support/ability-matrix.ts";
import { rabbitHarness } from "../support/harness-rabbitmq.ts";
import { startRabbit, type TestRabbit } from "../support/servers/rabbitmq.ts";
import { whenStarted } from "../support/servers/when.ts";

whenStarted("rabbitmq", "rabbitmq", () => {
  let server: TestRabbit;
  beforeAll(async () => {
    server = await startRabbit();
  });
  afterAll(() => server.stop());

  testBroker(
    rabbitHarness(() => server),
    { describe, it },
  );
  standsInReadme(() => rabbitHarness(() => server), it);
});
