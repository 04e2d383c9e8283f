import { HeraldError } from "../../core/errors.ts";
import { DEFAULTS, type BrokerType, type ConfigValues, type SettingName } from "./known.ts";
import type { Layer } from "./read-layer.ts";

/** What is said of a setting. */
interface Saying {
  readonly value: ConfigValues[SettingName];
  readonly path: string;
  /** Which layer says it; 0 is the lowest. */
  readonly layer: number;
}

/** What is said of each setting; those that nobody said are not there. */
export type Said = Map<SettingName, Saying>;

/** Settings that answer one question: a higher layer that gives one of them takes the others of a lower layer away. */
const RIVALS: readonly (readonly (readonly SettingName[])[])[] = [
  [["url"], ["brokerType", "redisUrl", "redisHost"]],
  [["redisUrl"], ["redisHost", "redisPort", "redisUsername", "redisDatabase", "redisTls"]],
  [["messageTtlDays"], ["messageMaxAgeMs"]],
];
const SCHEMES: Readonly<Record<string, BrokerType>> = {
  memory: "memory",
  file: "file",
  redis: "redis",
  rediss: "redis",
};

/** Layers over each other, the lowest first. */
export function merge(layers: readonly Layer[]): Said {
  const said: Said = new Map();
  for (const [index, layer] of layers.entries()) {
    for (const pair of RIVALS) {
      for (const [at, side] of pair.entries()) {
        if (!side.some((name) => layer.has(name))) continue;
        for (const rival of pair[1 - at] ?? []) said.delete(rival);
      }
    }
    for (const [name, entry] of layer) said.set(name, { ...entry, layer: index });
  }
  return said;
}

/**
 * The technology that is meant: by its name, by a URL, or by the settings that only one has; memory where nothing is said.
 * Undefined: a URL of another technology. Throws `INVALID_ARGUMENT` when two of them contradict each other.
 */
export function brokerTypeOf(said: Said): BrokerType | undefined {
  const named = said.get("brokerType") as { readonly value: BrokerType; readonly path: string } | undefined;
  const url = said.get("url") as { readonly value: string; readonly path: string } | undefined;
  if (url !== undefined) {
    const scheme = url.value.slice(0, url.value.indexOf(":")).toLowerCase();
    const type = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
    if (named !== undefined && named.value !== type && !(named.value === "bullmq" && type === "redis"))
      throw contradiction(
        `${named.path} says ${named.value}, and ${url.path} is a ${scheme}: URL`,
        named.path,
      );
    return named?.value ?? type;
  }
  if (named !== undefined) return named.value;
  if (said.has("redisUrl") || said.has("redisHost")) return "redis";
  return said.has("fileMessagingDir") ? "file" : "memory";
}

/** The URL of the Redis that is meant, with the credentials that are given beside it. */
export function redisUrlOf(said: Said): string {
  const value = <N extends SettingName>(name: N) => said.get(name)?.value as ConfigValues[N] | undefined;
  const given = value("url") ?? value("redisUrl");
  if (given !== undefined && !URL.canParse(given))
    throw contradiction("The URL of Redis cannot be read", "redis.url");
  const url = new URL(given ?? `redis://${value("redisHost") ?? DEFAULTS.redisHost}`);
  if (given === undefined) {
    url.port = String(value("redisPort") ?? DEFAULTS.redisPort);
    if (value("redisTls") === true) url.protocol = "rediss:";
    const database = value("redisDatabase") ?? DEFAULTS.redisDatabase;
    if (database > 0) url.pathname = `/${database}`;
  }
  const [username, password] = [value("redisUsername"), value("redisPassword")];
  if (username !== undefined) url.username = encodeURIComponent(username);
  if (password !== undefined) url.password = encodeURIComponent(password);
  return url.href.replace(/\/$/, "");
}

function contradiction(what: string, path: string): HeraldError {
  return new HeraldError("INVALID_ARGUMENT", `${what}: keep one of them.`, {
    details: { field: path, path },
  });
}
