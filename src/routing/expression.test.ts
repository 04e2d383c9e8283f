import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { HeraldError } from "../core/errors.ts";
import type { Message, Metadata } from "../core/message.ts";
import { compileExpression, MAX_EXPRESSION_BYTES } from "./expression.ts";

function message(payload: unknown, metadata: Partial<Metadata> = {}): Message {
  return {
    id: "m-1",
    timestamp: "2026-01-02T03:04:05.678Z",
    source: "scanner",
    channel: "security.alerts",
    payload,
    metadata: { priority: 50, retryCount: 0, contentType: "application/json", ...metadata },
  };
}

function holds(text: string, payload: unknown = {}, metadata: Partial<Metadata> = {}): boolean {
  return compileExpression(text)(message(payload, metadata));
}

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < levels; i++) value = [value];
  return value;
}

/** An expression that is as long as it is told, by a comment. */
function commented(text: string): string {
  return `payload.x == 1 // ${text}`;
}

function refusal(text: unknown): HeraldError {
  try {
    compileExpression(text as string);
  } catch (error) {
    return error as HeraldError;
  }
  throw new Error(`Accepted: ${String(text)}`);
}

describe("forms and variables", () => {
  test.each([
    "${{ message.severity in ['high','critical'] }}",
    "${{ message.payload.type == 'security' }}",
    "  ${{message.payload.severity=='high'}}\n",
    "payload.severity == 'high' && payload.type == 'security'",
    "message.payload['severity'] == 'high'",
    "source == 'scanner' && message.source == 'scanner'",
    "channel.startsWith('security.') && id == 'm-1'",
    "metadata.priority < 51 && message.priority == 50",
    "message.metadata.contentType == 'application/json'",
    "message.region == 'eu' && metadata.headers.region == 'eu'",
    "timestamp(timestamp) > timestamp('2026-01-01T00:00:00Z')",
    "has(message.severity) && !has(payload.nothing) && !has(message.nothing)",
    "size(payload.tags) == 2 && payload.tags.size() > 1 && payload.tags[0] == 'a'",
    "payload.tags.exists(tag, tag == 'b') && payload.tags.all(tag, tag != 'c')",
    "payload.items.exists(item, item.parts.exists_one(part, part == 2))",
    "payload.tags.exists(tag, tag.contains(source) || tag.endsWith('a')) ? true : false",
    "payload.title.trim().lowerAscii() == 'hello' && payload.title.upperAscii().contains('ELL')",
    "{ 'a': 1 }.a == 1 && -payload.items[0].parts[0] == -1",
    "payload.missing == 1 || payload.severity == 'high'",
  ])("%s holds for a message that fits", (text) => {
    const payload = {
      severity: "high",
      type: "security",
      tags: ["a", "b"],
      items: [{ parts: [1, 2] }],
      title: " Hello ",
    };
    expect(holds(text, payload, { headers: { region: "eu" } })).toBe(true);
  });

  test("message.<name> means the message's own key before the payload's, and the payload's before the metadata's", () => {
    const payload = { source: "forged", type: "own" };
    expect(holds("message.source == 'forged'", payload)).toBe(false);
    expect(holds("message.type == 'own'", payload, { type: "meta" })).toBe(true);
    expect(holds("message.type == 'meta'", {}, { type: "meta" })).toBe(true);
  });

  test("one compiled expression judges many messages on their own", () => {
    const test = compileExpression("message.n == 1");
    expect([1, 2, 1].map((n) => test(message({ n })))).toEqual([true, false, true]);
    expect(test(message({}))).toBe(false);
  });
});

describe("numbers", () => {
  test.each([
    "payload.n > 3",
    "payload.n >= 4 && payload.n != 3",
    "payload.n + 1 > 4",
    "payload.n - 1 >= 3",
    "2 * payload.n >= 8",
    "payload.n / 2 >= 2.0",
    "1.0 + 1 == 2 && 4 == 4.0 && 2.0 == 2u && 2 == 2u",
    "payload.n in [4, 4.5]",
    "payload.list.exists(x, x + 1 == 2)",
    "payload.list[payload.zero] == 1",
    "size(payload.list) == payload.two",
    "size(payload.list) * 2 <= payload.n",
    "int(payload.n) == 4 && double('1.5') == 1.5",
  ])("%s holds for 4 and for 4.5", (text) => {
    for (const n of [4, 4.5]) expect(holds(text, { n, list: [1, 2], zero: 0, two: 2 }), `${n}`).toBe(true);
  });

  test("a remainder works on whole and fractional numbers", () => {
    expect(holds("payload.n % 2 == 0", { n: 4 })).toBe(true);
    expect(holds("payload.n % 2 == 0", { n: 5 })).toBe(false);
    expect(holds("payload.n % payload.d == 0.5", { n: 4.5, d: 2 })).toBe(true);
  });

  test("a comparison of a payload's number with a literal agrees with JavaScript", () => {
    const numbers = fc.oneof(
      fc.integer({ min: -1000, max: 1000 }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    );
    const literal = fc.integer({ min: -1000, max: 1000 });
    fc.assert(
      fc.property(numbers, literal, (n, limit) => {
        expect(holds(`payload.n > ${limit}`, { n })).toBe(n > limit);
        expect(holds(`payload.n <= ${limit}`, { n })).toBe(n <= limit);
        expect(holds(`payload.n == ${limit}`, { n })).toBe(n === limit);
        expect(holds(`payload.n + ${limit} < 0`, { n })).toBe(n + limit < 0);
      }),
    );
  });
});

describe("errors while judging", () => {
  test.each([
    "payload.missing == 1",
    "payload.missing != 1",
    "message.missing.deeper == 1",
    "payload.text > 3",
    "payload.text.size() + payload.n == 1",
    "!payload.n",
    "payload.n",
    "payload.n + 1",
    "payload.list[9] == 1",
    "payload.n.exists(x, true)",
    "payload.list.all(x, x)",
    "int(payload.text) == 1",
    "payload.n ? true : false",
    "payload.text.startsWith(payload.n)",
    "1 / 0 == 1",
  ])("%s is false and does not throw", (text) => {
    expect(holds(text, { text: "a", n: 4, list: [1] })).toBe(false);
  });

  test.each([
    null,
    1,
    "text",
    true,
    [],
    {},
    undefined,
    new Date(0),
    new Uint8Array(2),
    { a: () => 1 },
    { a: Symbol("s") },
  ])("no payload makes it throw: %s", (payload) => {
    for (const text of [
      "payload.a == 1",
      "message.a.b == 'x'",
      "payload == 1",
      "size(payload) > 9",
      "payload.all(x, x == 1)",
    ]) {
      expect(holds(text, payload)).toBeTypeOf("boolean");
    }
  });

  test("random payloads and expressions out of parts never throw while judging", () => {
    const parts = [
      "payload.a",
      "message.a",
      "payload.b[0]",
      "1",
      "'x'",
      "true",
      "null",
      "[1, 'x']",
      "size(payload.a)",
    ];
    const operators = ["==", "!=", "<", "in", "&&", "||", "+", "%"];
    const part = fc.constantFrom(...parts);
    fc.assert(
      fc.property(
        part,
        fc.constantFrom(...operators),
        part,
        fc.dictionary(fc.constantFrom("a", "b"), fc.jsonValue()),
        (l, o, r, payload) => {
          let judge: (message: Message) => boolean;
          try {
            judge = compileExpression(`${l} ${o} ${r}`);
          } catch (error) {
            expect((error as HeraldError).code).toBe("INVALID_ARGUMENT");
            return;
          }
          expect(judge(message(payload))).toBeTypeOf("boolean");
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("what is refused", () => {
  test.each([
    [5, "must be a text in CEL", undefined],
    ["", "is empty", 0],
    ["${{  }}", "is empty", 3],
    ["${{ payload.x == 1", "does not end with }}", 0],
    ["${{}", "does not end with }}", 0],
    ["payload.x ==", "cannot be read: Unexpected token: EOF", 12],
    ["  ${{ payload.x == }}", "cannot be read: Unexpected token: EOF", 19],
    ["payload.x = 1", "cannot be read", 10],
    ["payload.x == 'a", "cannot be read", 13],
    ["${{ severity == 'high' }}", "Unknown variable: severity; write payload.<name>", 4],
    ["source > 3", "does not fit: no such overload: string > int", 0],
    ["1 + 1", "gives int, not true or false", 0],
    ["'a'", "gives string, not true or false", 0],
    ["message", "uses 'message' as a whole", 0],
    ["payload.a && size(message) > 1", "uses 'message' as a whole", 18],
    ["shout(payload.x)", 'calls "shout", which is not offered; known are has size', 0],
    ["payload.list.map(x, x) == []", 'calls "map", which is not offered', 0],
    ["payload.x.matches('^(a|a)*$')", "use startsWith, endsWith or contains", 0],
    ["cel.bind(a, payload.l + payload.l, a == a)", 'calls "bind"', 0],
    ["duration(payload.x) == duration('1s')", 'calls "duration"', 0],
    ["payload.x.contains(payload.y)", "literal of at most 250 characters", 19],
    [`payload.x.contains('${"a".repeat(251)}')`, "literal of at most 250 characters", 19],
    ["payload.x.contains('a' + 'b')", "literal of at most 250 characters", 19],
    ["payload.a.all(x, x in payload.b)", "reads 'payload' inside a loop, where only 'x'", 22],
    ["payload.a.all(x, x == message.b)", "reads 'message' inside a loop", 22],
    ["payload.a.all(x, payload.b.all(y, y == x))", "over something other than 'x'", 17],
    ["payload.a.all(x, [1, 2].all(y, y == x))", "over something other than 'x'", 17],
    ["payload.a.all(x, x.all(y, y == x))", "reads 'x' inside a loop, where only 'y'", 31],
    ["payload.a.all(id, id == 'x')", "the name 'id', which is taken", 14],
    ["payload.a.all(message, true)", "the name 'message', which is taken", 14],
    ["payload.a.all(x)", "needs a variable and a condition in all()", 0],
    [`payload.a == [] + ${"[] + ".repeat(16)}[]`, "adds more than 16 times", undefined],
    [`${"!".repeat(3000)}true`, "Exceeded maxAstNodes", undefined],
    [`${"(".repeat(200)}true${")".repeat(200)}`, "Exceeded maxDepth", undefined],
  ])("%s is refused with a sentence that says: %s", (text, sentence, position) => {
    const error = refusal(text);
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.message).toContain(sentence);
    expect(error.message).not.toContain("\n");
    expect(error.details["field"]).toBe("expression");
    if (position !== undefined) {
      expect(error.details["position"]).toBe(position);
      expect(error.message).toContain(`(at character ${position + 1})`);
    }
  });

  test("4 KiB is the most, counted in bytes", () => {
    const room = MAX_EXPRESSION_BYTES - commented("").length;
    expect(holds(commented("a".repeat(room)), { x: 1 })).toBe(true);
    expect(refusal(commented("a".repeat(room + 1))).message).toContain("longer than 4096 bytes");
    expect(refusal(commented("é".repeat(room / 2 + 1))).message).toContain("longer than 4096 bytes");
  });
});

describe("hostile expressions", () => {
  const hostile = [
    "constructor.constructor('return process')()",
    "payload.constructor.constructor('return process')()",
    "payload.constructor == payload.constructor",
    "payload['constructor']['prototype'] != null",
    "payload.__proto__ != null",
    "payload['__proto__'] != null",
    "has(payload.__proto__) || has(payload.constructor) || has(payload.toString)",
    "'constructor' in payload || '__proto__' in payload || 'toString' in payload",
    "message.constructor != null || message.__proto__ != null || message.toString != null",
    "__proto__ == __proto__",
    "this == this",
    "process.exit(1)",
    "globalThis != null",
    "payload.text.constructor != null",
    "payload.text['length'] == 4",
    "payload.list.constructor != null",
    "payload.list['length'] == 1",
    "payload.list.push(1)",
    "[].constructor.constructor('return 1')() == 1",
    "''.toString() == ''",
    "{ '__proto__': { 'admin': true } }.admin",
    "{ 'constructor': 1 }.constructor == 1",
    "google.protobuf.constructor != null",
    "cel.constructor != null",
    "`${process.exit(1)}`",
    "payload.text = 'x'",
    "payload.list[-1] == 1",
    "payload.list[0.5] == 1",
    "payload.list['0'] == 1",
  ];

  test.each(hostile)("%s is refused or false", (text) => {
    let judged: boolean | string;
    try {
      judged = holds(text, { text: "text", list: [1] });
    } catch (error) {
      judged = (error as HeraldError).code;
    }
    expect([false, "INVALID_ARGUMENT"]).toContain(judged);
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  test("an own field called constructor makes an error of a look into the object, not a throw", () => {
    expect(holds("payload.name == 'x'", { constructor: "y", name: "x" })).toBe(false);
    expect(holds("message.constructor == 'y'", { constructor: "y" })).toBe(false);
    expect(holds("payload.name == 'x'", { constructor: null, name: "x" })).toBe(false);
  });

  test("a payload that is nested very deeply does not throw", () => {
    const deep = nested(50_000);
    expect(holds("payload == message.copy", deep)).toBe(false);
    expect(holds("payload.a == payload.b", { a: deep, b: nested(50_000) })).toBe(false);
  });
});
