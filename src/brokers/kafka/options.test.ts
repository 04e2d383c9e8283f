import { describe, expect, it } from "vitest";
import { KafkaBroker } from "./broker.ts";
import { kafkaSettings, type KafkaBrokerOptions } from "./options.ts";

describe("the address of a Kafka", () => {
  it("names nodes, credentials, TLS and the namespace", () => {
    const settings = kafkaSettings({ url: "kafkas://me:p%40ss@one:9093,two,[::1]:9?namespace=team" });

    expect(settings.nodes).toEqual([
      { host: "one", port: 9093 },
      { host: "two", port: 9092 },
      { host: "::1", port: 9 },
    ]);
    expect(settings).toMatchObject({
      namespace: "team",
      tls: {},
      sasl: { mechanism: "PLAIN", username: "me", password: "p@ss" },
    });
  });

  it("is this machine by default, in the clear", () => {
    const settings = kafkaSettings({});

    expect(settings.nodes).toEqual([{ host: "127.0.0.1", port: 9092 }]);
    expect(settings.tls).toBeUndefined();
  });
});

describe("an option that is wrong", () => {
  const wrong: readonly (readonly [string, KafkaBrokerOptions])[] = [
    ["url", { url: "redis://localhost" }],
    ["url", { url: "kafka://" }],
    ["url", { url: "kafka://one:99999" }],
    ["namespace", { namespace: "a.b" }],
    ["namespace", { namespace: "a_b" }],
    ["partitions", { partitions: 0 }],
    ["keyless", { keyless: "no" as "spread" }],
    ["compression", { compression: "brotli" as "gzip" }],
    ["requireDurability", { requireDurability: "much" as "os" }],
  ];

  it.each(wrong)("%s is INVALID_ARGUMENT, naming the field", (field, options) => {
    expect(() => new KafkaBroker(options)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", details: { field } }),
    );
  });

  it("never shows a password", () => {
    expect(() => new KafkaBroker({ url: "kafka://me:secret@host:port" })).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("secret") as string }),
    );
  });
});
