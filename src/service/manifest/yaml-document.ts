import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  parseDocument,
  type Document,
  type Node,
  type Pair,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";
import type { Segment } from "../schema/path.ts";
import type { Locate, Position } from "./report.ts";

/** Size of a manifest, as UTF-8. */
export const MAX_MANIFEST_BYTES = 1024 * 1024;
const MAX_DEPTH = 100;
const MAX_NODES = 100_000;
const MAX_ALIASES = 100;
const MAX_SYNTAX_ERRORS = 20;
const MAX_DOCUMENTS = 100;

const CORE_TAG = /^tag:yaml\.org,2002:(?:str|int|float|bool|null|map|seq)$/;

/** Something that is wrong with the text itself, at an offset. */
export interface SyntaxProblem {
  readonly position: Position;
  readonly segments: readonly Segment[];
  readonly message: string;
  readonly hint?: string;
}

/** The value that a text holds, as plain data, and where its parts stand. */
export interface YamlText {
  readonly value: unknown;
  readonly errors: readonly SyntaxProblem[];
  readonly locate: Locate;
}

/**
 * Reads one YAML 1.2 (core schema) or JSON document as plain data. Refused, each with its place: more than 1 MiB, more than one
 * document, tags other than the core ones, another YAML version, keys that are not text, a key twice, a key `__proto__`, more
 * than 100 aliases, more than 100,000 parts once aliases are written out, an alias inside what it stands for, and nesting
 * deeper than 100. Never throws.
 */
export function readYaml(text: string): YamlText {
  const large = tooLarge(text);
  if (large !== undefined) return large;
  const lines = new LineCounter();
  return converted(parseDocument(text, optionsOf(lines)), lines);
}

/** As {@link readYaml}, of a text that may hold several documents. Refused: more than 100 of them. Empty ones are left out. */
export function readYamlDocuments(text: string): readonly YamlText[] {
  const large = tooLarge(text);
  if (large !== undefined) return [large];
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, optionsOf(lines));
  if (documents.length > MAX_DOCUMENTS)
    return [refused(`holds more than ${MAX_DOCUMENTS} documents; spread them over several files`)];
  return [...documents]
    .filter(({ contents, errors }) => contents !== null || errors.length > 0)
    .map((document) => converted(document, lines));
}

function tooLarge(text: string): YamlText | undefined {
  if (Buffer.byteLength(text) <= MAX_MANIFEST_BYTES) return undefined;
  return refused(`is larger than ${MAX_MANIFEST_BYTES / 1024} KiB, which is too much for a manifest`);
}

/** A text that is not looked into. */
function refused(message: string): YamlText {
  const start = { line: 1, column: 1 };
  return { value: undefined, errors: [{ position: start, segments: [], message }], locate: () => start };
}

function optionsOf(lines: LineCounter) {
  return {
    version: "1.2",
    schema: "core",
    merge: false,
    stringKeys: true,
    // Repeated keys are found while converting: the library compares every key with every other.
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "error",
    lineCounter: lines,
  } as const;
}

function converted(document: Document, lines: LineCounter): YamlText {
  const positionOf = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const converter = new Converter(positionOf);
  for (const { code, message, pos } of document.errors.slice(0, MAX_SYNTAX_ERRORS)) {
    converter.refuse(pos[0], [], SYNTAX[code] ?? `is not YAML: ${message.slice(0, 200)}`);
  }
  if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== "1.2") {
    converter.refuse(0, [], `is written in YAML ${document.directives.yaml.version}, and only 1.2 is read`);
  }
  const root = document.contents;
  const value = converter.errors.length === 0 && root !== null ? converter.convert(root, []) : undefined;
  return {
    value,
    errors: converter.errors,
    locate: (segments, onKey) => positionOf(converter.offsetOf(root, segments, onKey)),
  };
}

const SYNTAX: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: "holds more than one document, and a manifest is one agent",
  RESOURCE_EXHAUSTION: "is nested too deeply to be read",
  NON_STRING_KEY: "has a key that is not text",
};

/** Ends a conversion that would only go on finding the same thing. */
class Stop extends Error {}

class Converter {
  readonly errors: SyntaxProblem[] = [];
  readonly #positionOf: (offset: number) => Position;
  readonly #anchors = new Map<string, Node>();
  readonly #targets = new Map<Node, Node>();
  readonly #open = new Set<Node>();
  #nodes = 0;
  #aliases = 0;

  constructor(positionOf: (offset: number) => Position) {
    this.#positionOf = positionOf;
  }

  refuse(offset: number, segments: readonly Segment[], message: string, hint?: string): void {
    if (this.errors.length >= MAX_SYNTAX_ERRORS) return;
    this.errors.push({
      position: this.#positionOf(offset),
      segments,
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  convert(root: Node, segments: readonly Segment[]): unknown {
    try {
      return this.#node(root, segments);
    } catch (error) {
      if (error instanceof Stop) return undefined;
      throw error;
    }
  }

  /** Where a place stands in the text, or the nearest place around it that does. */
  offsetOf(root: Node | null, segments: readonly Segment[], onKey = false): number {
    let node = root;
    let offset = root?.range?.[0] ?? 0;
    for (const [index, segment] of segments.entries()) {
      const target = node === null ? null : (this.#targets.get(node) ?? node);
      if (isMap(target)) {
        const pair = (target as YAMLMap<Node, Node | null>).items.find(({ key }) => keyText(key) === segment);
        if (pair === undefined) return offset;
        const useKey = pair.value === null || (onKey && index === segments.length - 1);
        offset = (useKey ? pair.key : pair.value)?.range?.[0] ?? offset;
        node = pair.value;
      } else if (isSeq(target) && typeof segment === "number") {
        node = (target as YAMLSeq<Node>).items[segment] ?? null;
        offset = node?.range?.[0] ?? offset;
      } else return offset;
    }
    return offset;
  }

  #node(node: Node | null, segments: readonly Segment[]): unknown {
    if (node === null) return null;
    const offset = node.range?.[0] ?? 0;
    if (++this.#nodes > MAX_NODES) {
      this.#stop(offset, segments, `makes the manifest larger than ${MAX_NODES} parts, aliases written out`);
    }
    if (segments.length > MAX_DEPTH)
      this.#stop(offset, segments.slice(0, 8), `is nested deeper than ${MAX_DEPTH}`);
    if (isAlias(node)) return this.#alias(node, node.source, segments);
    if (node.tag !== undefined && !CORE_TAG.test(node.tag)) {
      this.refuse(
        offset,
        segments,
        `has the tag ${node.tag.slice(0, 60)}, and only plain YAML is read`,
        "Remove the tag.",
      );
    }
    if ("anchor" in node && typeof node.anchor === "string") this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    this.#open.add(node);
    const value = isMap(node)
      ? this.#map(node as YAMLMap<Node, Node | null>, segments)
      : this.#list(node, segments);
    this.#open.delete(node);
    return value;
  }

  #alias(node: Node, source: string, segments: readonly Segment[]): unknown {
    const offset = node.range?.[0] ?? 0;
    if (++this.#aliases > MAX_ALIASES) this.#stop(offset, segments, `uses more than ${MAX_ALIASES} aliases`);
    const target = this.#anchors.get(source);
    if (target === undefined || this.#open.has(target)) {
      this.refuse(
        offset,
        segments,
        `is an alias of ${source}, which is ${target === undefined ? "not there" : "around it"}`,
      );
      return undefined;
    }
    this.#targets.set(node, target);
    return this.#node(target, segments);
  }

  #map(node: YAMLMap<Node, Node | null>, segments: readonly Segment[]): unknown {
    const value: Record<string, unknown> = {};
    for (const pair of node.items) {
      const key = keyText(pair.key);
      const offset = pair.key.range?.[0] ?? 0;
      if (key === undefined) this.refuse(offset, segments, "has a key that is not text");
      else if (key === "__proto__") this.refuse(offset, segments, "has a key __proto__, which is refused");
      else if (Object.hasOwn(value, key))
        this.refuse(offset, [...segments, key], "is there twice", "Keep one of them.");
      else value[key] = this.#node(pair.value, [...segments, key]);
    }
    return value;
  }

  #list(node: Node, segments: readonly Segment[]): unknown {
    if (!isSeq(node)) return undefined;
    return (node as YAMLSeq<Node | null>).items.map((item, index) => this.#node(item, [...segments, index]));
  }

  #stop(offset: number, segments: readonly Segment[], message: string): never {
    this.refuse(offset, segments, message);
    throw new Stop();
  }
}

function keyText(key: Pair["key"]): string | undefined {
  return isScalar(key) && typeof key.value === "string" ? key.value : undefined;
}
