import { afterAll, beforeAll, describe, it } from "vitest";
import { testBroker } from "../../src/testing/conformance/test-broker.ts";
import { standsInReadme } from "../support/ability-matrix.ts";
import { natsHarness } from "../support/harness-nats.ts";
import { startNats, type TestNats } from "../support/servers/nats.ts";
import { whenStarted } from "../support/servers/when.ts";

whenStarted("nats", "nats", () => {
  let server: TestNats;
  beforeAll(async () => {
    server = await startNats();
  });
  afterAll(() => server.stop());

  testBroker(
    natsHarness(() => server),
    { describe, it },
  );
  standsInReadme(() => natsHarness(() => server), it);
});
