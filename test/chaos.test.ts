import { it } from "vitest";
import { survives } from "./support/chaos/survives.ts";
import { whenRedis, whenStarted } from "./support/servers/when.ts";

it("the file broker loses nothing and doubles no effect through 25 kills of its clients", async () => {
  await survives("file", { cycles: 25, serverKills: 0, flaps: 0, messages: 3000 });
}, 400_000);

whenRedis("chaos", () => {
  it("the Redis broker loses nothing and doubles no effect through 25 kills of its clients and 5 of its server", async () => {
    await survives("redis", { cycles: 25, serverKills: 5, flaps: 0, messages: 3000 });
  }, 400_000);

  it("the BullMQ broker loses nothing and doubles no effect through 8 kills of its clients and 2 of its server", async () => {
    await survives("bullmq", { cycles: 8, serverKills: 2, flaps: 0, messages: 600 });
  }, 400_000);

  it("failover from Redis to files loses nothing and doubles no effect through 10 flaps, 5 kills of clients and 1 of the server", async () => {
    await survives("failover", { cycles: 5, serverKills: 1, flaps: 10, messages: 2000 });
  }, 600_000);
});

whenStarted("nats", "chaos", () => {
  it("the NATS broker loses nothing and doubles no effect through 8 kills of its clients and 2 of its server", async () => {
    await survives("nats", { cycles: 8, serverKills: 2, flaps: 0, messages: 600 });
  }, 400_000);
});

whenStarted("rabbitmq", "chaos", () => {
  it("the RabbitMQ broker loses nothing and doubles no effect through 8 kills of its clients and 2 of its server", async () => {
    await survives("rabbitmq", { cycles: 8, serverKills: 2, flaps: 0, messages: 1000 });
  }, 400_000);
});

whenStarted("kafka", "chaos", () => {
  it("the Kafka broker loses nothing and doubles no effect through 8 kills of its clients and 2 of its server", async () => {
    await survives("kafka", { cycles: 8, serverKills: 2, flaps: 0, messages: 1000 });
  }, 400_000);
});
