import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { HeraldError } from "../../core/errors.ts";
import { readYaml } from "../manifest/yaml-document.ts";
import { pathText } from "../schema/path.ts";
import { ConfigError } from "./config-error.ts";
import { withoutComments } from "./json-comments.ts";
import { MAX_CONFIG_BYTES } from "./known.ts";
import { readLayer, type Layer } from "./read-layer.ts";

/**
 * What a configuration file says. YAML 1.2, or JSON with comments. Throws `NOT_FOUND` for no file, `INVALID_ARGUMENT` for one
 * that cannot be read, is larger than 1 MiB or is no ordinary file, and `ConfigError` for what is wrong inside.
 */
export function readConfigFile(path: string, format: "yaml" | "json"): Layer {
  const text = readText(path);
  const plain = format === "json" ? withoutComments(text) : text;
  const { value, errors, locate } = readYaml(plain);
  if (errors.length > 0) {
    const issues = errors.map(({ position, segments, message, hint }) => ({
      path: pathText(segments),
      ...position,
      message,
      ...(hint === undefined ? {} : { hint }),
    }));
    throw new ConfigError(path, issues);
  }
  if (format === "json") checkJson(plain, path);
  return readLayer(value, { name: path, locate });
}

/** The YAML that JSON is a part of allows more; a JSON file is held to JSON. */
function checkJson(text: string, path: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const found = /line (\d+) column (\d+)/.exec(said);
    const position = { line: Number(found?.[1] ?? 1), column: Number(found?.[2] ?? 1) };
    throw new ConfigError(path, [{ path: "", ...position, message: "is not JSON with comments" }]);
  }
}

function readText(path: string): string {
  // Without waiting: a named pipe would otherwise hold the caller until somebody writes to it.
  const file = open(path);
  try {
    if (!fstatSync(file).isFile()) throw unreadable(path, "it is not an ordinary file");
    const buffer = Buffer.alloc(MAX_CONFIG_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < buffer.length; length += read)
      read = readSync(file, buffer, length, buffer.length - length, null);
    if (length > MAX_CONFIG_BYTES) throw unreadable(path, "it is larger than 1 MiB");
    return new TextDecoder("utf-8", { fatal: true }).decode(buffer.subarray(0, length));
  } catch (error) {
    throw error instanceof TypeError ? unreadable(path, "it is not UTF-8 text", error) : error;
  } finally {
    closeSync(file);
  }
}

function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
    if (code !== "ENOENT" && code !== "ENOTDIR") throw unreadable(path, code, cause);
    const message = `There is no file '${path}': check the path of the configuration.`;
    throw new HeraldError("NOT_FOUND", message, { cause, details: { file: path } });
  }
}

function unreadable(path: string, why: string, cause?: unknown): HeraldError {
  const message = `'${path}' cannot be read as a configuration (${why}): name a file of text that you may read.`;
  return new HeraldError("INVALID_ARGUMENT", message, { cause, details: { file: path } });
}
