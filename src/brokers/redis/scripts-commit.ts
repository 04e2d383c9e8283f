import { RECORD } from "./handled-ids.ts";
import { CHANNELS, Script } from "./script.ts";
import { SETTLE } from "./scripts-consume.ts";
import { PUBLISH } from "./scripts-publish.ts";
import { APPEND_EVENTS, DELETE, PUT } from "./stores.ts";

/** Another script as a function of this one. */
function asFunction(name: string, { text }: Script): string {
  return `local function ${name}(KEYS, ARGV) ${text} end\n`;
}

/**
 * ARGV: {@link CommitPlan}s as JSON. Everything that may be refused is looked at before anything is written: a script is not rolled back.
 * Resolves for each to `lost` (the delivery is another's), `done` (its id is recorded already), `changed` and what was, `lane` and the number
 * of the publish whose lane must be made first; else to `ok`, how many entries each publish has stored, and what SETTLE resolves to.
 */
export const COMMIT = new Script(`${CHANNELS}
${PUBLISH.asFunction("publish")}${SETTLE.asFunction("settle")}${asFunction("record", RECORD)}
${asFunction("put", PUT)}${asFunction("delete", DELETE)}${asFunction("append", APPEND_EVENTS)}
local function commit(plan)
  if redis.call('ZSCORE', plan.inbox[1], plan.inbox[2]) then return { 'done' } end
  local held = plan.delivery
  local pending = redis.pcall('XPENDING', held.stream, held.group, held.id, held.id, 1)
  if pending.err or not pending[1] or pending[1][2] ~= held.consumer or pending[1][4] ~= tonumber(held.count) then
    return { 'lost' }
  end
  for _, read in ipairs(plan.reads) do
    local known = redis.call('HGET', read[1], read[2])
    if (known and string.match(known, '^%S+') or '') ~= read[3] then return { 'changed', read[4] } end
  end
  for _, grown in ipairs(plan.appends) do
    local last = redis.call('XREVRANGE', grown.key, '+', '-', 'COUNT', 1)[1]
    if (last and string.match(last[1], '^%d+') or '0') ~= grown.version then return { 'changed', grown.name } end
  end
  for at, going in ipairs(plan.publishes) do
    if redis.call('EXISTS', going.stream) == 0 then return { 'lane', at - 1 } end
  end
  local stored = {}
  for at, going in ipairs(plan.publishes) do
    useChannel(going.base)
    local reply = publish(going.args)
    local count = 0
    for i = 2, #reply, 2 do if reply[i] == 0 then count = count + 1 end end
    stored[at] = count
  end
  for _, shout in ipairs(plan.shouts) do redis.call('PUBLISH', shout[1], shout[2]) end
  for _, value in ipairs(plan.puts) do put({ value[1] }, { value[2], '*', value[3], value[4] }) end
  for _, value in ipairs(plan.deletes) do delete({ value[1] }, { value[2], '*' }) end
  for _, grown in ipairs(plan.appends) do
    redis.call('SADD', plan.streams, grown.name)
    append({ grown.key }, grown.args)
  end
  record({ plan.inbox[1] }, { plan.inbox[3], plan.inbox[2] })
  useChannel(held.base)
  return { 'ok', stored, settle(held.settling) }
end
local answers = {}
for at, plan in ipairs(ARGV) do answers[at] = commit(cjson.decode(plan)) end
return answers
`);

/** Names of keys and values, all as text. */
export interface CommitPlan {
  readonly delivery: {
    readonly base: string;
    readonly stream: string;
    readonly group: string;
    readonly consumer: string;
    readonly id: string;
    readonly count: string;
    /** Arguments of SETTLE. */
    readonly settling: readonly string[];
  };
  /** Key, id, and how long it is remembered, milliseconds. */
  readonly inbox: readonly [string, string, string];
  /** Key, field, the token it must have or the empty text, and what it is called. */
  readonly reads: readonly (readonly [string, string, string, string])[];
  /** Key, field, token, value. */
  readonly puts: readonly (readonly [string, string, string, string])[];
  readonly deletes: readonly (readonly [string, string])[];
  /** The set that names the streams. */
  readonly streams: string;
  readonly appends: readonly {
    readonly key: string;
    readonly name: string;
    readonly version: string;
    readonly args: readonly string[];
  }[];
  readonly publishes: readonly {
    readonly base: string;
    readonly stream: string;
    readonly args: readonly string[];
  }[];
  /** Pub/sub channel and message. */
  readonly shouts: readonly (readonly [string, string])[];
}
