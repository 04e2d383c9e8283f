import { showValue } from "../../core/errors.ts";
import { ObjectReader, readObject, type KnownKeys, type Place } from "../manifest/object-reader.ts";
import { Problems } from "../manifest/problems.ts";
import { issueOf, type Locate } from "../manifest/report.ts";
import { pathText } from "../schema/path.ts";
import { ConfigError } from "./config-error.ts";
import { SETTING_NAMES, SETTINGS, type ConfigValues, type Kind, type SettingName } from "./known.ts";

/** What one source says, a setting each with the path it was written at. */
export type Layer = ReadonlyMap<
  SettingName,
  { readonly value: ConfigValues[SettingName]; readonly path: string }
>;

/** Where a configuration comes from. */
export interface Source {
  /** A file's path, `The environment` or `The options`. */
  readonly name: string;
  readonly locate?: Locate;
  /** The name that a path has in this source, where it is not its own. */
  readonly nameOf?: (path: string) => string;
}

/** Keys that hold settings or other keys, as the places of the settings say. */
interface Branch {
  readonly leaves: Map<string, SettingName>;
  readonly branches: Map<string, Branch>;
}

/** Words that people write for a key, far from it in letters. */
const HINTS: Readonly<Record<string, string>> = { broker: "brokerType", brokerUrl: "url", broker_url: "url" };

const ROOT = branch();
for (const name of SETTING_NAMES) for (const place of SETTINGS[name].places) plant(name, place.split("."));

/** Reads one source. Throws `ConfigError` with everything that is wrong: unknown keys, wrong values, one setting said in two ways. */
export function readLayer(value: unknown, source: Source): Layer {
  const layer = new Map<SettingName, { value: ConfigValues[SettingName]; path: string }>();
  const problems = new Problems();
  const reader = readObject(value ?? {}, { segments: [], problems }, keysOf(ROOT));
  if (reader !== undefined) new LayerReader(layer, problems).branch(ROOT, reader);
  if (problems.errors.length > 0) {
    const { locate = () => ({ line: 0, column: 0 }), nameOf = (path) => path } = source;
    const issues = problems.errors.map((problem) => {
      const issue = issueOf(problem, locate);
      return { ...issue, path: nameOf(issue.path) };
    });
    issues.sort((a, b) => a.line - b.line || a.column - b.column);
    throw new ConfigError(source.name, issues);
  }
  return layer;
}

class LayerReader {
  readonly #layer: Map<SettingName, { value: ConfigValues[SettingName]; path: string }>;
  readonly #problems: Problems;

  constructor(
    layer: Map<SettingName, { value: ConfigValues[SettingName]; path: string }>,
    problems: Problems,
  ) {
    this.#layer = layer;
    this.#problems = problems;
  }

  branch({ leaves, branches }: Branch, reader: ObjectReader): void {
    for (const [key, name] of leaves) this.#leaf(name, key, reader);
    for (const [key, inner] of branches) {
      const below = reader.object(key, keysOf(inner));
      if (below !== undefined) this.branch(inner, below);
    }
  }

  #leaf(name: SettingName, key: string, reader: ObjectReader): void {
    const value = valueOf(reader, key, SETTINGS[name].kind) as ConfigValues[SettingName] | undefined;
    if (value === undefined) return;
    const place = reader.at(key);
    const path = pathText(place.segments);
    const refusal = refuse(name, value);
    const before = this.#layer.get(name);
    if (refusal !== undefined) this.#problems.error({ ...at(place), ...refusal });
    else if (before === undefined) this.#layer.set(name, { value, path });
    else if (before.value !== value) {
      const message = `says ${shown(name, value)} where ${before.path} says ${shown(name, before.value)}, and both mean the same setting`;
      this.#problems.error({ ...at(place), message, hint: "Keep one of them." });
    }
  }
}

function at({ segments }: Place): Pick<Place, "segments"> {
  return { segments };
}

function valueOf(reader: ObjectReader, key: string, kind: Kind): unknown {
  switch (kind.is) {
    case "text":
      return reader.text(key);
    case "secret":
      return secret(reader, key);
    case "flag":
      return reader.flag(key);
    case "whole":
      return reader.whole(key, kind.bounds);
    case "number":
      return reader.number(key, kind.bounds);
    case "word":
      return reader.word(key, kind.words, kind.spellings);
  }
}

function secret(reader: ObjectReader, key: string): string | undefined {
  const value = reader.raw(key);
  if (value === undefined || (typeof value === "string" && value !== "")) return value;
  const { segments, problems } = reader.at(key);
  problems.error({ segments, message: "must be text that is not empty", hint: "Put it in quotes." });
  return undefined;
}

function shown(name: SettingName, value: unknown): string {
  return SETTINGS[name].kind.is === "secret" ? "one thing" : showValue(value);
}

/** What is wrong with a text of the right type. */
function refuse(
  name: SettingName,
  value: unknown,
): { readonly message: string; readonly hint?: string } | undefined {
  if (typeof value !== "string") return undefined;
  if (value.includes("\0")) return { message: "holds a NUL character" };
  if (name === "redisPassword" && /^file:/i.test(value))
    return {
      message: "is a file: URL, and secrets are not read from files",
      hint: "Put the secret itself into HERALD_REDIS_PASSWORD.",
    };
  if (name === "redisUrl" && !/^rediss?:\/\/[^/]/i.test(value))
    return { message: "must be a redis:// or rediss:// URL" };
  if (name === "redisHost" && /[\s/@?#:]/.test(value))
    return { message: "must be a host name or an IPv4 address" };
  if (name === "url" && !/^[a-z][a-z0-9+.-]*:/i.test(value))
    return { message: "must be a broker's URL, like redis://host:6379 or file:./folder" };
  return undefined;
}

function branch(): Branch {
  return { leaves: new Map(), branches: new Map() };
}

function plant(name: SettingName, steps: readonly string[]): void {
  let node = ROOT;
  for (const step of steps.slice(0, -1)) {
    let next = node.branches.get(step);
    if (next === undefined) node.branches.set(step, (next = branch()));
    node = next;
  }
  node.leaves.set(steps.at(-1) as string, name);
}

function keysOf({ leaves, branches }: Branch): KnownKeys {
  return { keys: [...leaves.keys(), ...branches.keys()], hints: HINTS };
}
