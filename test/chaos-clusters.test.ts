import { it } from "vitest";
import { survives } from "./support/chaos/survives.ts";
import { whenOnHosts } from "./support/servers/when.ts";

whenOnHosts("nats", "chaos", () => {
  it("a NATS cluster of three loses nothing and doubles no effect while one of its nodes is cut off, killed or held", async () => {
    await survives("nats-cluster", { cycles: 4, serverKills: 1, flaps: 0, messages: 1000 });
  }, 400_000);
});

whenOnHosts("kafka", "chaos", () => {
  it("a Kafka cluster of three loses nothing and doubles no effect while one of its nodes is cut off, killed or held", async () => {
    await survives("kafka-cluster", { cycles: 4, serverKills: 1, flaps: 0, messages: 1000 });
  }, 400_000);
});
