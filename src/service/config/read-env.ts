import { nearest } from "../../core/nearest.ts";
import { ConfigError, type ConfigIssue } from "./config-error.ts";
import { SETTING_NAMES, SETTINGS, type SettingName } from "./known.ts";
import { readLayer, type Layer } from "./read-layer.ts";

/** Environment variables by name. */
export type Env = Readonly<Record<string, string | undefined>>;

const PREFIX = "HERALD_";
const ALIAS = "GREENLANG_";
const SOURCE = "The environment";
const SUFFIXES = new Map(SETTING_NAMES.map((name) => [suffixOf(name), name] as const));
/** What says by itself which broker is meant: `RABBITMQ_URL`, which other programs read too, is only asked after them. */
const CHOICES = ["URL", "BROKER_TYPE", "REDIS_URL", "REDIS_HOST"];

/**
 * What the environment says: `HERALD_<KEY>`, else `GREENLANG_<KEY>`, where `<KEY>` is the path of a setting in capitals
 * (`redis.maxRetries`: `REDIS_MAX_RETRIES`); `RABBITMQ_URL` as the broker's URL where nothing else names a broker. Empty is
 * not there. Throws `ConfigError` for a value that cannot be used and for an unknown `HERALD_` variable.
 */
export function readEnv(env: Env): Layer {
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith(PREFIX) && isSet(env[name]) && !SUFFIXES.has(name.slice(PREFIX.length)),
  );
  if (unknown.length > 0) throw new ConfigError(SOURCE, unknown.map(unknownVariable));
  const written = new Map<string, string>();
  const root: Record<string, unknown> = {};
  for (const [suffix, name] of SUFFIXES) {
    const variable = [`${PREFIX}${suffix}`, `${ALIAS}${suffix}`].find((candidate) => isSet(env[candidate]));
    if (variable !== undefined) put(root, name, { text: env[variable] ?? "", variable, written });
  }
  const rabbit = env["RABBITMQ_URL"];
  const isChosen = CHOICES.some((suffix) => isSet(env[PREFIX + suffix]) || isSet(env[ALIAS + suffix]));
  if (rabbit !== undefined && rabbit !== "" && !isChosen)
    put(root, "url", { text: rabbit, variable: "RABBITMQ_URL", written });
  return readLayer(root, { name: SOURCE, nameOf: (path) => written.get(path) ?? path });
}

function put(
  root: Record<string, unknown>,
  name: SettingName,
  { text, variable, written }: { text: string; variable: string; written: Map<string, string> },
): void {
  const place = SETTINGS[name].places[0] as string;
  const steps = place.split(".");
  let node = root;
  for (const step of steps.slice(0, -1)) node = (node[step] ??= {}) as Record<string, unknown>;
  node[steps.at(-1) as string] = typed(text, name);
  written.set(place, variable);
}

/** The text of a variable as the value it stands for; what cannot be one stays text and is refused as such. */
function typed(text: string, name: SettingName): unknown {
  const { is } = SETTINGS[name].kind;
  if (is === "flag") return FLAGS[text.toLowerCase()] ?? text;
  if ((is === "whole" || is === "number") && /^-?\d+(?:\.\d+)?$/.test(text)) return Number(text);
  return text;
}

const FLAGS: Readonly<Record<string, boolean | undefined>> = Object.assign(Object.create(null) as object, {
  true: true,
  "1": true,
  yes: true,
  on: true,
  false: false,
  "0": false,
  no: false,
  off: false,
});

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}

function suffixOf(name: SettingName): string {
  const place = SETTINGS[name].places[0] as string;
  return place
    .replaceAll(/[A-Z]/g, (letter) => `_${letter}`)
    .replaceAll(".", "_")
    .toUpperCase();
}

function unknownVariable(path: string): ConfigIssue {
  const meant = nearest(path.slice(PREFIX.length), SUFFIXES.keys());
  const hint = meant === undefined ? {} : { hint: `Did you mean ${PREFIX}${meant}?` };
  return { path, line: 0, column: 0, message: "is no variable of Herald", ...hint };
}
