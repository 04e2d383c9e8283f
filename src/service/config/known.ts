import { ENCODINGS, type Encoding } from "../../codec/compression.ts";
import type { Bounds } from "../manifest/object-reader.ts";

/** The technologies that a configuration can name. */
export type BrokerType = "memory" | "file" | "redis" | "bullmq";

/** How much is logged. */
export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Every setting by its own name, whatever place it was written at. */
export interface ConfigValues {
  brokerType: BrokerType;
  url: string;
  redisUrl: string;
  redisHost: string;
  redisPort: number;
  redisUsername: string;
  redisPassword: string;
  redisDatabase: number;
  redisTls: boolean;
  maxConnections: number;
  maxStreamLength: number;
  messageTtlDays: number;
  messageMaxAgeMs: number;
  dlqTtlDays: number;
  maxRetries: number;
  retryDelayMs: number;
  persistMessages: boolean;
  fileMessagingDir: string;
  pollingIntervalMs: number;
  deleteProcessedMessages: boolean;
  maxPendingMessages: number;
  contentType: string;
  compression: "none" | Encoding;
  messageTimeoutMs: number;
  metricsEnabled: boolean;
  circuitBreakerEnabled: boolean;
  circuitBreakerThreshold: number;
  circuitBreakerTimeoutSeconds: number;
  logLevel: LogLevel;
  userInputPriority: number;
  systemPriority: number;
  externalPriority: number;
}

/** The name of one setting. */
export type SettingName = keyof ConfigValues;

/** What the value of a setting may be. */
export type Kind =
  /** A secret may hold one: what it is stands in no message. */
  | { readonly is: "text" | "flag" | "secret" }
  | { readonly is: "whole" | "number"; readonly bounds: Bounds }
  | {
      readonly is: "word";
      readonly words: readonly string[];
      readonly spellings: Readonly<Record<string, string>>;
    };

/** One setting: the places it may be written at, the first of which names its environment variable. */
export interface Setting {
  readonly places: readonly string[];
  readonly kind: Kind;
}

const text: Kind = { is: "text" };
const secret: Kind = { is: "secret" };
const flag: Kind = { is: "flag" };
const whole = (min: number, max?: number): Kind => ({
  is: "whole",
  bounds: max === undefined ? { min } : { min, max },
});
const priority = whole(0, 99);

/** Every setting that there is. */
export const SETTINGS: Readonly<Record<SettingName, Setting>> = {
  brokerType: {
    places: ["brokerType", "general.architecture.mode"],
    kind: {
      is: "word",
      words: ["memory", "file", "redis", "bullmq"] satisfies readonly BrokerType[],
      spellings: { threads: "memory", processes: "redis" },
    },
  },
  url: { places: ["url"], kind: secret },
  redisUrl: { places: ["redis.url", "messaging.redis.url"], kind: secret },
  redisHost: { places: ["redis.host"], kind: text },
  redisPort: { places: ["redis.port"], kind: whole(1, 65_535) },
  redisUsername: { places: ["redis.username"], kind: text },
  redisPassword: { places: ["redis.password"], kind: secret },
  redisDatabase: { places: ["redis.database"], kind: whole(0) },
  redisTls: { places: ["redis.tls"], kind: flag },
  maxConnections: { places: ["redis.maxConnections"], kind: whole(1) },
  maxStreamLength: { places: ["redis.maxStreamLength", "maxStreamLength"], kind: whole(1) },
  messageTtlDays: {
    places: ["redis.messageTtlDays"],
    kind: { is: "number", bounds: { min: 0.001, max: 36_500 } },
  },
  messageMaxAgeMs: { places: ["messageMaxAge"], kind: whole(1) },
  dlqTtlDays: { places: ["redis.dlqTtlDays"], kind: { is: "number", bounds: { min: 1, max: 365 } } },
  maxRetries: { places: ["redis.maxRetries", "maxRetries", "retryAttempts"], kind: whole(0, 1000) },
  retryDelayMs: { places: ["retryDelay"], kind: whole(0) },
  persistMessages: { places: ["persistMessages"], kind: flag },
  fileMessagingDir: { places: ["fileMessagingDir"], kind: text },
  pollingIntervalMs: { places: ["pollingInterval"], kind: whole(1, 3_600_000) },
  deleteProcessedMessages: { places: ["deleteProcessedMessages"], kind: flag },
  maxPendingMessages: { places: ["maxPendingMessages"], kind: whole(1) },
  contentType: { places: ["contentType", "messaging.contentType"], kind: text },
  compression: {
    places: ["compression", "messaging.compression"],
    kind: { is: "word", words: ["none", ...ENCODINGS], spellings: {} },
  },
  messageTimeoutMs: { places: ["messageTimeout"], kind: whole(1) },
  metricsEnabled: { places: ["metricsEnabled"], kind: flag },
  circuitBreakerEnabled: { places: ["circuitBreakerEnabled"], kind: flag },
  circuitBreakerThreshold: { places: ["circuitBreakerThreshold"], kind: whole(1) },
  circuitBreakerTimeoutSeconds: {
    places: ["circuitBreakerTimeoutSeconds"],
    kind: { is: "number", bounds: { min: 0.001, max: 86_400 } },
  },
  logLevel: {
    places: ["logLevel"],
    kind: {
      is: "word",
      words: ["debug", "info", "warn", "error", "silent"] satisfies readonly LogLevel[],
      spellings: {
        DEBUG: "debug",
        INFO: "info",
        WARN: "warn",
        WARNING: "warn",
        warning: "warn",
        ERROR: "error",
        CRITICAL: "error",
        critical: "error",
        SILENT: "silent",
      },
    },
  },
  userInputPriority: { places: ["messaging.priorities.userInput"], kind: priority },
  systemPriority: { places: ["messaging.priorities.system"], kind: priority },
  externalPriority: { places: ["messaging.priorities.external"], kind: priority },
};

/** The names of all settings. */
export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** What holds where nothing is written: the figures of the documents that the keys come from. */
export const DEFAULTS = {
  redisHost: "localhost",
  redisPort: 6379,
  redisDatabase: 0,
  maxConnections: 50,
  maxStreamLength: 100_000,
  messageTtlDays: 7,
  dlqTtlDays: 7,
  maxRetries: 3,
  retryDelayMs: 1000,
  fileMessagingDir: ".herald",
  metricsEnabled: true,
  circuitBreakerEnabled: false,
  circuitBreakerThreshold: 5,
  circuitBreakerTimeoutSeconds: 60,
  logLevel: "info",
  userInputPriority: 10,
  systemPriority: 50,
  externalPriority: 80,
} as const satisfies Partial<ConfigValues>;

/** Size of a configuration file, bytes. */
export const MAX_CONFIG_BYTES = 1024 * 1024;
