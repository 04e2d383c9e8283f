import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { inspect } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { RabbitBroker } from "../../brokers/rabbitmq/broker.ts";
import { silentLogger } from "../../core/logger.ts";
import { MessagingService } from "../service.ts";
import { ConfigError } from "./config-error.ts";
import { MessagingConfig } from "./messaging-config.ts";

const FOLDER = mkdtempSync(path.join(tmpdir(), "herald-config-"));
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

let count = 0;
function file(text: string | Uint8Array, extension = "yaml"): string {
  const name = path.join(FOLDER, `c${count++}.${extension}`);
  writeFileSync(name, text);
  return name;
}

const yaml = (text: string, env = {}, explicit = {}) =>
  MessagingConfig.fromYaml(file(text), { env, explicit });

function errorOf(make: () => unknown): ConfigError {
  try {
    make();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("It was accepted.");
}

const DOCUMENT = `broker_type: redis
redis:
  host: localhost
  port: 6379
  max_connections: 50
  max_stream_length: 100000
  message_ttl_days: 7
  dlq_ttl_days: 30
  max_retries: 3
metrics_enabled: true
circuit_breaker_enabled: true
log_level: INFO
`;

describe("a configuration", () => {
  it("is read from YAML in the words of its documents", () => {
    const config = yaml(DOCUMENT);
    expect(config.brokerType).toBe("redis");
    expect(config.redis).toMatchObject({
      host: "localhost",
      port: 6379,
      maxConnections: 50,
      maxStreamLength: 100_000,
      messageTtlDays: 7,
      dlqTtlDays: 30,
      maxRetries: 3,
    });
    expect([config.metricsEnabled, config.circuitBreakerEnabled, config.logLevel]).toEqual([
      true,
      true,
      "info",
    ]);
    expect(config.redis.toObject()).toEqual({
      url: "redis://localhost:6379",
      retentionMs: 604_800_000,
      retentionLength: 100_000,
    });
  });

  it("is read from JSON with comments, which stand anywhere but in text", () => {
    const text = `{
      // threads or processes
      "general": { "architecture": { "mode": "processes" } }, /* two
      lines */ "messaging": {
        "redis": { "url": "redis://h:1//x" },
        "priorities": { "user_input": 5, "external": 90, },
      }
    }`;
    const config = MessagingConfig.fromJson(file(text, "json"), { env: {} });
    expect(config.brokerType).toBe("redis");
    expect(config.toBrokerUrl()).toBe("redis://h:1//x");
    expect(config.priorities).toEqual({ userInput: 5, system: 50, external: 90 });
  });

  it("has defaults where nothing is said", () => {
    const config = new MessagingConfig();
    expect(config.brokerType).toBe("memory");
    expect(config.toBrokerUrl()).toBe("memory:");
    expect(config.priorities).toEqual({ userInput: 10, system: 50, external: 80 });
    expect(config.redis).toMatchObject({ host: "localhost", port: 6379, maxConnections: 50, maxRetries: 3 });
    expect(config.unused).toEqual([]);
  });

  it.each([
    ["memory", "threads"],
    ["redis", "processes"],
    ["file", "file"],
    ["bullmq", "bullmq"],
  ])("means the broker %s by the mode %s", (type, mode) => {
    expect(new MessagingConfig({ general: { architecture: { mode } } }).brokerType).toBe(type);
  });

  it("reads what is explicit over the environment, that over the file, and that over the defaults", () => {
    const text = "redis: {host: file, port: 1, max_retries: 1}\nlog_level: error\n";
    const env = { HERALD_REDIS_PORT: "2", HERALD_REDIS_MAX_RETRIES: "2" };
    const config = yaml(text, env, { redis: { maxRetries: 3 } });
    expect(config.redis).toMatchObject({ host: "file", port: 2, maxRetries: 3, messageTtlDays: 7 });
    expect(config.logLevel).toBe("error");
  });

  it("takes a broker that a higher layer names whole, whatever a lower one says of another", () => {
    const text = "url: redis://file:1\n";
    expect(yaml(text, { HERALD_BROKER_TYPE: "memory" }).toBrokerUrl()).toBe("memory:");
    expect(yaml(text, { HERALD_REDIS_HOST: "env" }).toBrokerUrl()).toBe("redis://env:6379");
    expect(
      yaml("redis: {host: h, port: 1, tls: true}", { HERALD_REDIS_URL: "redis://env:9" }).toBrokerUrl(),
    ).toBe("redis://env:9");
    expect(yaml("broker_type: redis", {}, { url: "file:./x" }).brokerType).toBe("file");
  });

  it("is read from the environment under its own names, those of its document, and RABBITMQ_URL where nothing else names a broker", () => {
    const env = {
      GREENLANG_BROKER_TYPE: "redis",
      GREENLANG_REDIS_HOST: "h",
      GREENLANG_REDIS_PORT: "1",
      HERALD_REDIS_PORT: "2",
      GREENLANG_REDIS_PASSWORD: "p:w/@",
      GREENLANG_LOG_LEVEL: "WARNING",
      GREENLANG_OTHER: "of another program",
      HERALD_METRICS_ENABLED: "no",
      HERALD_MAX_PENDING_MESSAGES: "",
      RABBITMQ_URL: "amqp://h",
    };
    const config = MessagingConfig.fromEnv(env);
    expect(config.toBrokerUrl()).toBe("redis://:p%3Aw%2F%40@h:2");
    expect([config.logLevel, config.metricsEnabled]).toEqual(["warn", false]);
    const rabbit = MessagingConfig.fromEnv({ RABBITMQ_URL: "amqp://h" });
    expect([rabbit.brokerType, rabbit.toBrokerUrl()]).toEqual([undefined, "amqp://h"]);
    expect(rabbit.toBroker()).toBeInstanceOf(RabbitBroker);
  });

  it("shows its secrets to nobody who prints it", () => {
    const config = MessagingConfig.fromEnv({
      HERALD_REDIS_URL: "redis://u:hunter2@h",
      HERALD_REDIS_PASSWORD: "hunter2",
    });
    expect(inspect(config, { depth: 9 }) + JSON.stringify(config) + inspect(config.redis)).not.toContain(
      "hunter2",
    );
    expect(config.toBrokerUrl()).toContain("hunter2");
  });
});

describe("options of a service", () => {
  it("run one, with the retries and the dead letters that were written", async () => {
    const config = new MessagingConfig({ redis: { maxRetries: 1, dlqTtlDays: 30 }, retryDelay: 1 });
    const options = config.toServiceOptions({ agentId: "a" });
    expect(options).toMatchObject({
      retry: { maxAttempts: 2, backoff: { initialDelayMs: 1 } },
      dlq: { retentionDays: 30 },
    });
    await using service = new MessagingService(options);
    await service.start();
    let runs = 0;
    await service.subscribe("c", () => {
      runs++;
      throw new Error("no");
    });
    await service.publish("c", 1);
    await expect.poll(() => service.deadLetters.list()).toHaveLength(1);
    expect(runs).toBe(2);
  });

  it("leave to a manifest what only a default says, and go over it with what was written", () => {
    const given = { agentId: "a", messaging: { reliability: { retry: { maxAttempts: 7 } } } };
    expect(new MessagingConfig().toServiceOptions({ agentId: "a" })).toMatchObject({
      retry: { maxAttempts: 4 },
    });
    expect(new MessagingConfig().toServiceOptions(given)).not.toHaveProperty("retry");
    expect(new MessagingConfig({ maxRetries: 0 }).toServiceOptions(given)).toMatchObject({
      retry: { maxAttempts: 1 },
    });
  });

  it("name the broker with everything that is said of it", () => {
    expect(yaml(DOCUMENT).toBroker().name).toBe("redis");
    expect(new MessagingConfig({ brokerType: "bullmq", redis: { host: "h" } }).toBroker().name).toBe(
      "bullmq",
    );
    expect(new MessagingConfig({ fileMessagingDir: "x", pollingInterval: 10 }).toBroker().name).toBe("file");
    expect(new MessagingConfig({ maxStreamLength: 5 }).toBroker().name).toBe("memory");
    const kept = new MessagingConfig({ brokerType: "redis", persistMessages: true, messageMaxAge: 1000 });
    expect(kept.redis.toObject()).toMatchObject({ onWeakDurability: "refuse", retentionMs: 1000 });
    expect(() => new MessagingConfig({ persistMessages: true }).toBroker()).toThrow("keeps nothing");
  });

  it("switch circuit breakers on where that is written, with their threshold and time", () => {
    const options = { failures: 5, openMs: 60_000 };
    expect(yaml(DOCUMENT).toServiceOptions({ logger: silentLogger }).circuitBreaker).toEqual({
      handlers: options,
      commands: options,
      broker: options,
    });
    const text =
      "circuit_breaker_enabled: true\ncircuit_breaker_threshold: 2\ncircuit_breaker_timeout_seconds: 0.5\n";
    expect(yaml(text).toServiceOptions().circuitBreaker).toMatchObject({
      broker: { failures: 2, openMs: 500 },
    });
    expect(new MessagingConfig().toServiceOptions().circuitBreaker).toBeUndefined();
  });

  it("pass on what is grave enough for the level, and tell what has no effect", () => {
    const said: string[] = [];
    const logger = {
      ...silentLogger,
      info: () => said.push("info"),
      warn: (_fields: object, text: string) => said.push(text),
    };
    const config = yaml(`${DOCUMENT}polling_interval: 5\nlog_level: WARN\n`.replace("log_level: INFO\n", ""));
    const { logger: levelled } = config.toServiceOptions({ logger });
    levelled?.info({}, "hidden");

    expect(config.unused.map(({ path: at }) => at).toSorted()).toEqual([
      "polling_interval",
      "redis.max_connections",
    ]);
    expect(said).toHaveLength(2);
    expect(said.join(" ")).toContain("Herald needs a handful of connections");
  });

  it("say nothing of what a file has for a technology that the environment has changed", () => {
    const text = "broker_type: redis\nredis: {host: h, max_stream_length: 5}\npolling_interval: 5\n";
    expect(yaml(text, { HERALD_BROKER_TYPE: "file" }).unused).toEqual([]);
    expect(yaml(text).unused.map(({ path: at }) => at)).toEqual(["polling_interval"]);
  });

  it("tell what has no effect as a warning of the process where there is no logger", async () => {
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    new MessagingConfig({ messageTimeout: 5 }).toServiceOptions();
    expect(await warned).toMatchObject({
      name: "HeraldConfigWarning",
      message: expect.stringContaining("messageTimeout"),
    });
  });
});

describe("a configuration that is wrong", () => {
  it("names the path, the place in the file and the key that was meant", () => {
    const error = errorOf(() => yaml("redis:\n  hots: a\n  port: 99999\nbroker: x\n"));
    expect(error).toMatchObject({ code: "INVALID_ARGUMENT", name: "ConfigError" });
    expect(error.message).toMatch(/\.yaml:2:3: redis\.hots is not known here\. Did you mean host\?/);
    const { issues } = error.details as { issues: readonly { path: string; line: number }[] };
    expect(issues.map(({ path: at, line }) => [at, line]).toSorted()).toEqual([
      ["broker", 4],
      ["redis.hots", 2],
      ["redis.port", 3],
    ]);
  });

  it.each([
    [
      { HERALD_REDIS_HOTS: "x" },
      "HERALD_REDIS_HOTS is no variable of Herald. Did you mean HERALD_REDIS_HOST?",
    ],
    [{ HERALD_REDIS_PORT: "6379x" }, "HERALD_REDIS_PORT must be a whole number"],
    [{ HERALD_REDIS_PORT: "1e3" }, "HERALD_REDIS_PORT must be a whole number"],
    [{ GREENLANG_METRICS_ENABLED: "perhaps" }, "GREENLANG_METRICS_ENABLED must be true or false"],
    [{ HERALD_BROKER_TYPE: "rediss" }, "Did you mean redis?"],
    [{ HERALD_REDIS_PASSWORD: "file:///etc/passwd" }, "secrets are not read from files"],
    [{ HERALD_REDIS_URL: "http://h" }, "HERALD_REDIS_URL must be a redis://"],
  ])("names the variable: %j", (env, text) => {
    const { message } = errorOf(() => MessagingConfig.fromEnv(env));
    expect(message).toContain(text);
    expect(message).not.toContain("passwd");
  });

  it.each([
    ["broker_type: redis\ngeneral: {architecture: {mode: threads}}", "both mean the same setting"],
    ["max_retries: 1\nretry_attempts: 2", "both mean the same setting"],
    ["redis: {max_retries: 1, maxRetries: 1}", "says the same as"],
    ["url: 'memory:'\nbroker_type: redis", "keep one of them"],
    ["redis: []", "must be an object"],
    ["- 1", "must be an object"],
    ["a: 1\na: 2", "is there twice"],
    ["redis: !!js/function x", "only plain YAML"],
    ["redis: {host: 'a b'}", "must be a host name"],
    ["redis: {password: 12345}", "must be text"],
    ["messaging: {priorities: {system: 100}}", "from 0 to 99"],
  ])("is refused: %j", (text, expected) => {
    expect(() => yaml(text)).toThrow(expected);
  });

  it("keeps the values of secrets to itself", () => {
    const texts = [
      "redis: {password: 12345}",
      "redis: {url: 'redis://a:12345@h'}\nmessaging: {redis: {url: 'redis://b:12345@h'}}",
    ];
    for (const text of texts) {
      const error = errorOf(() => yaml(text));
      expect(error.message + JSON.stringify(error.details)).not.toContain("12345");
    }
  });

  it.each([
    '{"__proto__": {"isAdmin": true}}',
    '{"constructor": {"prototype": {"isAdmin": true}}}',
    '{"redis": {"__proto__": {"isAdmin": true}}}',
  ])("pollutes nothing: %s", (text) => {
    expect(() => MessagingConfig.fromJson(file(text, "json"), { env: {} })).toThrow(ConfigError);
    expect(() => yaml(text)).toThrow(ConfigError);
    expect(() => new MessagingConfig(JSON.parse(text) as Record<string, unknown>)).toThrow(ConfigError);
    expect(({} as { isAdmin?: boolean }).isAdmin).toBeUndefined();
  });

  it.each([
    "{",
    '{"a": 1} {"b": 2}',
    "broker_type: redis",
    '{"logLevel": "info" /* open',
    "{'logLevel': 'info'}",
  ])("is no JSON with comments: %j", (text) => {
    expect(() => MessagingConfig.fromJson(file(text, "json"), { env: {} })).toThrow(ConfigError);
  });

  it("is no file that can be read", () => {
    const missing = path.join(FOLDER, "none.yaml");
    expect(() => MessagingConfig.fromYaml(missing)).toThrow(expect.objectContaining({ code: "NOT_FOUND" }));
    const large = file(`log_level: info #${"x".repeat(1024 * 1024)}`);
    const device = path.join(FOLDER, "device.yaml");
    symlinkSync("/dev/zero", device);
    for (const bad of [FOLDER, large, device, file(Uint8Array.of(0xff, 0xfe))])
      expect(() => MessagingConfig.fromYaml(bad)).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
  });
});
