import { inspect } from "node:util";
import type { Broker } from "../../core/broker.ts";
import { HeraldError } from "../../core/errors.ts";
import type { Logger } from "../../core/logger.ts";
import { BullMQBroker } from "../../brokers/bullmq/broker.ts";
import { FileBroker } from "../../brokers/file/broker.ts";
import { MemoryBroker } from "../../brokers/memory/broker.ts";
import { RedisBroker } from "../../brokers/redis/broker.ts";
import type { RedisBrokerOptions } from "../../brokers/redis/options.ts";
import { brokerOf } from "../broker-url.ts";
import type { MessagingServiceOptions } from "../options.ts";
import { unusedOf, type Unused } from "./effects.ts";
import {
  DEFAULTS,
  SETTING_NAMES,
  SETTINGS,
  type BrokerType,
  type ConfigValues,
  type LogLevel,
  type SettingName,
} from "./known.ts";
import { levelled } from "./levelled.ts";
import { readEnv, type Env } from "./read-env.ts";
import { readConfigFile } from "./read-file.ts";
import { readLayer, type Layer } from "./read-layer.ts";
import { brokerTypeOf, merge, redisUrlOf, type Said } from "./resolve.ts";

/** A configuration in code; camelCase or snake_case. The keys are those of a file. */
export type ConfigInput = Readonly<Record<string, unknown>>;

/** What goes over a file. */
export interface ConfigOptions {
  /** The environment; `{}` for none. Default `process.env`. */
  readonly env?: Env;
  /** What holds whatever the environment and the file say. */
  readonly explicit?: ConfigInput;
}

/** The part of a configuration that is about Redis. */
export interface RedisConfig {
  readonly host: string;
  readonly port: number;
  readonly database: number;
  readonly maxConnections: number;
  readonly maxStreamLength: number;
  readonly messageTtlDays: number;
  readonly dlqTtlDays: number;
  readonly maxRetries: number;
  /** The options of a {@link RedisBroker}; they hold the password. */
  toObject(): RedisBrokerOptions;
}

const DAY_MS = 86_400_000;

/**
 * A configuration: what is said in code, over the environment, over a file, over the defaults. Everything in it is checked
 * when it is made: an unknown key or a wrong value is a `ConfigError` that names the path and the key that was meant.
 */
export class MessagingConfig {
  readonly #said: Said;
  readonly #type: BrokerType | undefined;

  /** A configuration in code, over the defaults, or over layers that were read. Throws `ConfigError`. */
  constructor(explicit: ConfigInput = {}, below: readonly Layer[] = []) {
    this.#said = merge([...below, readLayer(explicit, { name: "The options" })]);
    this.#type = brokerTypeOf(this.#said);
    // A URL that cannot be made is refused here and not at the first start.
    if (this.#type === "redis" || this.#type === "bullmq") redisUrlOf(this.#said);
  }

  /** From a YAML file. Throws `NOT_FOUND`, `INVALID_ARGUMENT` for an unreadable file, `ConfigError` for what is wrong inside. */
  static fromYaml(path: string, options: ConfigOptions = {}): MessagingConfig {
    return overFile(readConfigFile(path, "yaml"), options);
  }

  /** From a file of JSON, in which comments and a last comma may stand. Throws as {@link fromYaml}. */
  static fromJson(path: string, options: ConfigOptions = {}): MessagingConfig {
    return overFile(readConfigFile(path, "json"), options);
  }

  /** From the environment alone. Throws `ConfigError`. */
  static fromEnv(env: Env = process.env, explicit: ConfigInput = {}): MessagingConfig {
    return new MessagingConfig(explicit, [readEnv(env)]);
  }

  /** The technology; undefined when the URL names one that is not built in. */
  get brokerType(): BrokerType | undefined {
    return this.#type;
  }

  get redis(): RedisConfig {
    return {
      host: this.#of("redisHost"),
      port: this.#of("redisPort"),
      database: this.#of("redisDatabase"),
      maxConnections: this.#of("maxConnections"),
      maxStreamLength: this.#of("maxStreamLength"),
      messageTtlDays: this.#of("messageTtlDays"),
      dlqTtlDays: this.#of("dlqTtlDays"),
      maxRetries: this.#of("maxRetries"),
      toObject: () => this.#redisOptions(),
    };
  }

  get metricsEnabled(): boolean {
    return this.#of("metricsEnabled");
  }

  get circuitBreakerEnabled(): boolean {
    return this.#of("circuitBreakerEnabled");
  }

  get logLevel(): LogLevel {
    return this.#of("logLevel");
  }

  /** Priorities by the class of who asks, 0 to 99, lower first: for the option `priority` of a publish. */
  get priorities(): { readonly userInput: number; readonly system: number; readonly external: number } {
    return {
      userInput: this.#of("userInputPriority"),
      system: this.#of("systemPriority"),
      external: this.#of("externalPriority"),
    };
  }

  /** What was written and has no effect with this broker and this version. */
  get unused(): readonly Unused[] {
    return unusedOf(this.#said, this.#type);
  }

  /** The URL of the broker, as `MessagingService`, and `--url` of the command line, take it. It holds the password. */
  toBrokerUrl(): string {
    const url = this.#said.get("url")?.value as string | undefined;
    if (this.#type === "redis") return redisUrlOf(this.#said);
    if (url !== undefined && this.#type !== "bullmq") return url;
    if (this.#type === "bullmq") throw noUrl();
    return this.#type === "file" ? `file:${this.#of("fileMessagingDir")}` : "memory:";
  }

  /** A new broker, not open yet, with everything that is said of it here. Throws `UNSUPPORTED` for a technology that is not built in. */
  toBroker(): Broker {
    switch (this.#type) {
      case "redis":
        return new RedisBroker(this.#redisOptions());
      case "bullmq":
        return new BullMQBroker({ url: redisUrlOf(this.#said), ...this.#durability() });
      case "file":
        return new FileBroker(this.#fileOptions());
      case "memory":
        return this.#memory();
      default:
        return brokerOf(this.toBrokerUrl());
    }
  }

  /**
   * Options for a `MessagingService`: broker, retries, dead letters and log level, under what is `given`. With a manifest
   * (`messaging`) in `given`, defaults leave to it what it says itself; what was written here goes over it. What has no
   * effect is told to the logger, or else as a warning of the process.
   */
  toServiceOptions<T extends Partial<MessagingServiceOptions>>(
    given?: T,
  ): Partial<MessagingServiceOptions> & T {
    const options = given ?? ({} as T);
    this.#tellUnused(options.logger);
    const { maxPendingMessages, contentType, compression } = this.#written();
    return {
      broker: this.toBroker(),
      ...this.#retry(options.messaging !== undefined),
      ...this.#deadLetters(options.messaging !== undefined),
      ...(maxPendingMessages === undefined ? {} : { maxPendingPublishes: maxPendingMessages }),
      ...(contentType === undefined ? {} : { contentType }),
      ...(compression === undefined ? {} : { compression }),
      ...this.#circuitBreaker(),
      ...options,
      ...(options.logger === undefined ? {} : { logger: levelled(options.logger, this.logLevel) }),
    };
  }

  /** Everything that is said, by its path; secrets are left out. */
  toJSON(): Readonly<Record<string, unknown>> {
    const shown = SETTING_NAMES.flatMap((name) => {
      const value = this.#value(name);
      const isSecret = SETTINGS[name].kind.is === "secret";
      return value === undefined
        ? []
        : [[SETTINGS[name].places[0] ?? name, isSecret ? "(set)" : value] as const];
    });
    return Object.fromEntries(shown);
  }

  [inspect.custom](): unknown {
    return this.toJSON();
  }

  #circuitBreaker(): Pick<MessagingServiceOptions, "circuitBreaker"> {
    if (!this.circuitBreakerEnabled) return {};
    const openMs = this.#of("circuitBreakerTimeoutSeconds") * 1000;
    const options = { failures: this.#of("circuitBreakerThreshold"), openMs };
    return { circuitBreaker: { handlers: options, commands: options, broker: options } };
  }

  #of<N extends keyof typeof DEFAULTS>(name: N): ConfigValues[N] {
    return this.#value(name) as ConfigValues[N];
  }

  #value(name: SettingName): ConfigValues[SettingName] | undefined {
    return this.#said.get(name)?.value ?? (DEFAULTS as Partial<ConfigValues>)[name];
  }

  /** What somebody wrote, without the defaults. */
  #written(): Partial<ConfigValues> {
    return Object.fromEntries([...this.#said].map(([name, { value }]) => [name, value]));
  }

  #redisOptions(): RedisBrokerOptions {
    return {
      url: redisUrlOf(this.#said),
      retentionMs: this.#retentionMs() ?? this.#of("messageTtlDays") * DAY_MS,
      retentionLength: this.#of("maxStreamLength"),
      ...this.#durability(),
    };
  }

  /** Messages that must be kept are not given to a server that forgets them. */
  #durability(): Pick<RedisBrokerOptions, "requireDurability" | "onWeakDurability"> {
    const { persistMessages } = this.#written();
    if (persistMessages === undefined) return {};
    return persistMessages
      ? { requireDurability: "process", onWeakDurability: "refuse" }
      : { requireDurability: "none" };
  }

  #fileOptions(): ConstructorParameters<typeof FileBroker>[0] {
    const url = this.#said.get("url")?.value as string | undefined;
    const { pollingIntervalMs, deleteProcessedMessages } = this.#written();
    const retentionMs = this.#retentionMs();
    return {
      directory: url?.replace(/^file:(?:\/\/)?/i, "") ?? this.#of("fileMessagingDir"),
      ...(pollingIntervalMs === undefined ? {} : { pollingInterval: pollingIntervalMs }),
      ...(deleteProcessedMessages === undefined ? {} : { deleteProcessedMessages }),
      ...(retentionMs === undefined ? {} : { messageMaxAge: retentionMs }),
    };
  }

  #memory(): Broker {
    const { persistMessages, maxStreamLength, url } = this.#written();
    if (persistMessages === true) throw nothingKept();
    if (url !== undefined && maxStreamLength === undefined) return brokerOf(url);
    return new MemoryBroker(maxStreamLength === undefined ? {} : { replay: maxStreamLength });
  }

  #retentionMs(): number | undefined {
    const { messageMaxAgeMs, messageTtlDays } = this.#written();
    return messageMaxAgeMs ?? (messageTtlDays === undefined ? undefined : messageTtlDays * DAY_MS);
  }

  #retry(hasManifest: boolean): Pick<MessagingServiceOptions, "retry"> {
    const { maxRetries, retryDelayMs } = this.#written();
    const retries = maxRetries ?? (hasManifest ? undefined : DEFAULTS.maxRetries);
    const retry = {
      ...(retries === undefined ? {} : { maxAttempts: retries + 1 }),
      ...(retryDelayMs === undefined ? {} : { backoff: { initialDelayMs: retryDelayMs } }),
    };
    return Object.keys(retry).length === 0 ? {} : { retry };
  }

  #deadLetters(hasManifest: boolean): Pick<MessagingServiceOptions, "dlq"> {
    const retentionDays = this.#written().dlqTtlDays ?? (hasManifest ? undefined : DEFAULTS.dlqTtlDays);
    return retentionDays === undefined ? {} : { dlq: { retentionDays } };
  }

  #tellUnused(logger: Logger | undefined): void {
    for (const { path, message } of this.unused) {
      if (logger === undefined) process.emitWarning(message, { type: "HeraldConfigWarning", detail: path });
      else levelled(logger, this.logLevel).warn({ path }, message);
    }
  }
}

function overFile(file: Layer, { env = process.env, explicit = {} }: ConfigOptions): MessagingConfig {
  return new MessagingConfig(explicit, [file, readEnv(env)]);
}

function noUrl(): HeraldError {
  const message =
    "No URL names the BullMQ broker: use toServiceOptions() or toBroker(), which give the broker itself.";
  return new HeraldError("UNSUPPORTED", message, { details: { field: "brokerType" } });
}

function nothingKept(): HeraldError {
  const message =
    "persistMessages is set, and the memory broker keeps nothing: name the broker type file or redis.";
  return new HeraldError("INVALID_ARGUMENT", message, { details: { field: "persistMessages" } });
}
