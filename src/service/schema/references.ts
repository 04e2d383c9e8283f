import type { JsonSchema } from "./model.ts";
import type { Segment } from "./path.ts";
import { show, type SchemaProblem } from "./problem.ts";
import type { SchemaNode, SchemaObject } from "./walk.ts";

/** Where a document without `$id` stands; only there to resolve relative names against. */
const ROOT_URI = "herald://schema/";

/** A schema with an `$id` of its own, or the root: what its `#…` references start from. */
interface Resource {
  readonly uri: string;
  readonly root: SchemaObject;
}

/**
 * Resolves every `$ref` of a document inside the document: pointers (`#/$defs/a`), names (`#a` for `$anchor`, and for the
 * draft-07 form `$id: "#a"`), and addresses that an `$id` in the document has. Nothing is ever fetched; what does not resolve
 * is a problem. JSON Schema 2020-12, section 8.2; RFC 6901.
 */
export class References {
  readonly targets = new Map<SchemaObject, JsonSchema>();
  readonly problems: SchemaProblem[] = [];
  readonly #nodes: ReadonlyMap<SchemaObject, SchemaNode>;
  readonly #resources = new Map<string, Resource>();
  readonly #anchors = new Map<string, SchemaObject>();
  readonly #resourceOf = new Map<SchemaObject, Resource>();

  constructor(nodes: ReadonlyMap<SchemaObject, SchemaNode>) {
    this.#nodes = nodes;
    // Outer schemas come before those inside them, so that an `$id` finds the resource around it.
    for (const node of nodes.values()) this.#enter(node);
    for (const node of nodes.values()) this.#resolve(node);
  }

  #enter(node: SchemaNode): void {
    const outer = node.parent === undefined ? undefined : this.#resourceOf.get(node.parent.schema);
    const resource = this.#ownResource(node, outer) ?? outer ?? { uri: ROOT_URI, root: node.schema };
    this.#resourceOf.set(node.schema, resource);
    if (resource !== outer) this.#define(this.#resources, resource.uri, resource, [...node.segments, "$id"]);
    const { $anchor } = node.schema;
    if (typeof $anchor === "string") this.#anchor(`${resource.uri}#${$anchor}`, node, "$anchor");
  }

  #ownResource(node: SchemaNode, outer: Resource | undefined): Resource | undefined {
    const { $id } = node.schema;
    if (typeof $id !== "string" || $id === "") return undefined;
    if ($id.startsWith("#")) {
      this.#anchor(`${outer?.uri ?? ROOT_URI}${$id}`, node, "$id");
      return undefined;
    }
    const uri = resolveUri($id, outer?.uri ?? ROOT_URI);
    if (uri !== undefined && uri.fragment === "") return { uri: uri.address, root: node.schema };
    this.#add([...node.segments, "$id"], `must be an address without a fragment, not ${show($id)}`);
    return undefined;
  }

  #anchor(name: string, node: SchemaNode, keyword: string): void {
    this.#define(this.#anchors, name, node.schema, [...node.segments, keyword]);
  }

  #define<T>(map: Map<string, T>, name: string, value: T, segments: readonly Segment[]): void {
    if (map.has(name)) this.#add(segments, "is used twice in this schema");
    else map.set(name, value);
  }

  #resolve(node: SchemaNode): void {
    const { $ref } = node.schema;
    if (typeof $ref !== "string" || $ref === "") return;
    const segments = [...node.segments, "$ref"];
    const target = this.#find($ref, this.#resourceOf.get(node.schema)?.uri ?? ROOT_URI);
    if (target === "remote") {
      this.#add(
        segments,
        `${show($ref)} leads out of this schema, and nothing is ever fetched`,
        "Put the schema under $defs and refer to it with #/$defs/name.",
      );
    } else if (target === undefined) {
      this.#add(
        segments,
        `${show($ref)} leads to nothing in this schema`,
        "References look like #/$defs/name.",
      );
    } else this.targets.set(node.schema, target);
  }

  #find($ref: string, base: string): JsonSchema | "remote" | undefined {
    const uri = resolveUri($ref, base);
    const resource = uri === undefined ? undefined : this.#resources.get(uri.address);
    if (uri === undefined || resource === undefined) return "remote";
    if (uri.fragment === "") return resource.root;
    if (!uri.fragment.startsWith("/")) return this.#anchors.get(`${uri.address}#${uri.fragment}`);
    const found = follow(resource.root, uri.fragment);
    if (typeof found === "boolean") return found;
    return typeof found === "object" && found !== null && this.#nodes.has(found as SchemaObject)
      ? (found as SchemaObject)
      : undefined;
  }

  #add(segments: readonly Segment[], message: string, hint?: string): void {
    this.problems.push({ segments, message, ...(hint === undefined ? {} : { hint }) });
  }
}

function resolveUri(
  reference: string,
  base: string,
): { readonly address: string; readonly fragment: string } | undefined {
  if (!URL.canParse(reference, base)) return undefined;
  const { href } = new URL(reference, base);
  const hash = href.indexOf("#");
  if (hash < 0) return { address: href, fragment: "" };
  try {
    return { address: href.slice(0, hash), fragment: decodeURIComponent(href.slice(hash + 1)) };
  } catch {
    return undefined;
  }
}

/** RFC 6901 over own keys only. */
function follow(root: unknown, pointer: string): unknown {
  let value = root;
  for (const part of pointer.slice(1).split("/")) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}
