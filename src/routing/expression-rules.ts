import type { ASTNode } from "@marcbachmann/cel-js";
import { MESSAGE_KEYS, TEXT_KEYS } from "./lookup.ts";

/** Why an expression is refused although it can be read, and where. */
interface Refusal {
  /** Goes on with "the expression … at character n". */
  readonly reason: string;
  readonly at: number;
}

/** What an expression needs from a message. */
export interface Needs {
  /** The names that follow `message.`. */
  readonly names: ReadonlySet<string>;
}

const FUNCTIONS = new Set(["has", "size", "int", "double", "string", "bool", "timestamp"]);
const LOOPS = new Set(["all", "exists", "exists_one"]);
const METHODS = new Set([
  "size",
  "contains",
  "startsWith",
  "endsWith",
  "lowerAscii",
  "upperAscii",
  "trim",
  ...LOOPS,
]);
const OFFERED = [...new Set([...FUNCTIONS, ...METHODS])].join(" ");
const UNBOUNDED = ["payload", "metadata", "message"];
const MAX_SEARCHED = 250;
const MAX_ADDITIONS = 16;

/** What the walk has found so far. */
interface Found {
  readonly names: Set<string>;
  additions: number;
}

interface Scope {
  /** The variable of the innermost loop; undefined outside loops. */
  readonly variable: string | undefined;
  /** Variables whose value may be as large as the message, and which therefore must not be read once per element. */
  readonly barred: ReadonlySet<string>;
}

/**
 * Walks a parsed expression and gives either why it is refused or what it needs. What passes costs, for one message, at most
 * time in proportion to the size of the message times the length of the expression:
 *
 * - only functions of a list are offered: none that builds large values (`map`, `join`, `cel.bind`), none that backtracks
 *   (`matches`, `duration`);
 * - inside a loop only its own variable, literals and the message's short texts are read, so that no publisher can make a
 *   loop within a loop out of one large payload;
 * - `contains` looks for a literal of at most 250 characters, because searching a large text for a large text can take
 *   time in proportion to their product;
 * - `+` stands at most 16 times, because it also joins lists and texts, and every one makes a copy.
 */
export function examine(ast: ASTNode): Refusal | Needs {
  const found: Found = { names: new Set(), additions: 0 };
  return visit(ast, { variable: undefined, barred: new Set() }, found) ?? { names: found.names };
}

function visit(node: ASTNode, scope: Scope, found: Found): Refusal | undefined {
  switch (node.op) {
    case "value":
      return undefined;
    case "id":
      return visitVariable(node, node.args, scope);
    case ".":
      if (node.args[0].op === "id" && node.args[0].args === "message")
        return visitMessage(node, node.args[1], scope, found);
      return visit(node.args[0], scope, found);
    case "call":
      if (!FUNCTIONS.has(node.args[0])) return notOffered(node, node.args[0]);
      return visitAll(node.args[1], scope, found);
    case "rcall":
      return visitMethod(node, scope, found);
    case "+":
      if (++found.additions > MAX_ADDITIONS) return refuse(node, `adds more than ${MAX_ADDITIONS} times`);
      return visitAll(node.args, scope, found);
    case "map":
      return visitAll(node.args.flat(), scope, found);
    case "!_":
    case "-_":
      return visit(node.args, scope, found);
    default:
      return visitAll(node.args as readonly ASTNode[], scope, found);
  }
}

function visitAll(nodes: readonly ASTNode[], scope: Scope, found: Found): Refusal | undefined {
  for (const node of nodes) {
    const refusal = visit(node, scope, found);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function visitVariable(node: ASTNode, name: string, scope: Scope): Refusal | undefined {
  if (scope.barred.has(name)) {
    const own = `'${scope.variable}', literals, id, source, channel and timestamp`;
    return refuse(node, `reads '${name}' inside a loop, where only ${own} may be read`);
  }
  if (name !== "message") return undefined;
  return refuse(node, "uses 'message' as a whole; name a field of it, as in message.payload");
}

function visitMessage(node: ASTNode, name: string, scope: Scope, found: Found): Refusal | undefined {
  if (scope.barred.has("message") && !TEXT_KEYS.has(name)) return visitVariable(node, "message", scope);
  found.names.add(name);
  return undefined;
}

function visitMethod(node: ASTNode & { op: "rcall" }, scope: Scope, found: Found): Refusal | undefined {
  const [name, receiver, args] = node.args;
  if (!METHODS.has(name)) return notOffered(node, name);
  if (LOOPS.has(name)) return visitLoop(node, scope, found);
  const [sought] = args;
  if (name === "contains" && sought !== undefined && !isShortText(sought)) {
    return refuse(
      sought,
      `may look only for a literal of at most ${MAX_SEARCHED} characters with contains()`,
    );
  }
  return visitAll([receiver, ...args], scope, found);
}

function visitLoop(node: ASTNode & { op: "rcall" }, scope: Scope, found: Found): Refusal | undefined {
  const [name, receiver, [variable, body]] = node.args;
  if (variable?.op !== "id" || body === undefined) {
    return refuse(
      node,
      `needs a variable and a condition in ${name}(), as in payload.tags.${name}(tag, tag == 'x')`,
    );
  }
  if (variable.args === "message" || MESSAGE_KEYS.has(variable.args)) {
    return refuse(
      variable,
      `gives a loop's variable the name '${variable.args}', which is taken; choose another`,
    );
  }
  if (scope.variable !== undefined && rootOf(receiver) !== scope.variable) {
    return refuse(
      receiver,
      `runs a loop inside a loop over something other than '${scope.variable}' or a field of it`,
    );
  }
  const barred = new Set([...scope.barred, ...UNBOUNDED]);
  if (scope.variable !== undefined) barred.add(scope.variable);
  barred.delete(variable.args);
  return visit(receiver, scope, found) ?? visit(body, { variable: variable.args, barred }, found);
}

function isShortText(node: ASTNode): boolean {
  if (node.op === "value") return typeof node.args !== "string" || node.args.length <= MAX_SEARCHED;
  return node.op === "id" && TEXT_KEYS.has(node.args);
}

function rootOf(node: ASTNode): string | undefined {
  let at = node;
  while (at.op === "." || at.op === "[]") at = at.args[0];
  return at.op === "id" ? at.args : undefined;
}

function notOffered(node: ASTNode, name: string): Refusal {
  const instead =
    name === "matches" ? "use startsWith, endsWith or contains instead" : `known are ${OFFERED}`;
  return refuse(node, `calls ${JSON.stringify(name.slice(0, 40))}, which is not offered; ${instead}`);
}

function refuse(node: ASTNode, reason: string): Refusal {
  return { reason, at: node.start };
}
