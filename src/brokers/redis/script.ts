import { createHash } from "node:crypto";

/** A Lua script, known to servers by its hash. */
export class Script {
  readonly text: string;
  readonly sha: string;

  constructor(text: string) {
    this.text = text;
    this.sha = createHash("sha1").update(text).digest("hex");
  }
}

/**
 * What all scripts of a channel share. KEYS[1] is the base key of the channel; every other key begins with it and lies in
 * the same slot. Per group there are: `ready` and `parked`, sorted by name (two digits of priority, the entry's id padded,
 * its lane); `retry`, sorted by time due; `notes`, what is known of an entry beside its place (`s` it waits in Redis, `k`
 * its key, `r` hand-outs that do not count, `d` owners that died holding it, `f` failures); `locks`, key to the entry that has it;
 * `floor`, a lane's last id of which everything up to it was handled when last looked at: a group that somebody destroys goes on
 * there; beside them, under `~`, the run of the server that counted what the group has read.
 */
const SHARED = `
local base = KEYS[1]
local function streamOf(lane) if lane == '' then return base end return base .. ':' .. lane end
local function prioOf(lane) if string.sub(lane, 1, 1) == 'p' then return tonumber(string.sub(lane, 2)) end return 50 end
local function now() local t = redis.call('TIME') return t[1] * 1000 + t[2] / 1000 end
local function digits(s) return string.rep('0', 20 - #s) .. s end
local function strip(s) local t = string.gsub(s, '^0+', '') if t == '' then return '0' end return t end
local function place(prio, id, lane)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.format('%02d', prio) .. digits(ms) .. digits(seq) .. lane
end
local function placed(m) return strip(string.sub(m, 3, 22)) .. '-' .. strip(string.sub(m, 23, 42)), string.sub(m, 43) end
local function lanesOf()
  local lanes = redis.call('SMEMBERS', base .. ':lanes')
  table.sort(lanes, function(a, b) local x, y = prioOf(a), prioOf(b) if x == y then return a < b end return x < y end)
  return lanes
end
local function fieldOf(fields, name)
  for i = 1, #fields, 2 do if fields[i] == name then return fields[i + 1] end end
end
local group, G
local function use(name) group = name; G = base .. ':g:' .. name .. ':' end
local function noteOf(ref) local raw = redis.call('HGET', G .. 'notes', ref) return raw and cjson.decode(raw) or {}, raw end
local function keep(ref, note)
  if next(note) == nil then redis.call('HDEL', G .. 'notes', ref) else redis.call('HSET', G .. 'notes', ref, cjson.encode(note)) end
end
local function ready(prio, id, lane) redis.call('ZADD', G .. 'ready', 0, place(prio, id, lane)) end
local function hold(lane, id) redis.call('XCLAIM', streamOf(lane), group, '~', 0, id, 'JUSTID') end
local function keyRange(key) return #key .. ':' .. key .. ':' end
local function unlock(key, ref)
  if redis.call('HGET', G .. 'locks', key) ~= ref then return 0 end
  local prefix = keyRange(key)
  local first = redis.call('ZRANGEBYLEX', G .. 'parked', '[' .. prefix, '(' .. prefix .. '\\255', 'LIMIT', 0, 1)[1]
  if not first then redis.call('HDEL', G .. 'locks', key) return 0 end
  redis.call('ZREM', G .. 'parked', first)
  local m = string.sub(first, #prefix + 1)
  local id, lane = placed(m)
  redis.call('HSET', G .. 'locks', key, lane .. '|' .. id)
  redis.call('ZADD', G .. 'ready', 0, m)
  return 1
end
local function lock(key, ref)
  return redis.call('HSETNX', G .. 'locks', key, ref) == 1 or redis.call('HGET', G .. 'locks', key) == ref
end
local function park(key, prio, id, lane) redis.call('ZADD', G .. 'parked', 0, keyRange(key) .. place(prio, id, lane)) end
local function serverRun()
  local server = redis.pcall('INFO', 'server')
  return type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
end
local function createGroup(lane, name, start)
  local stream = streamOf(lane)
  if start == '0' then start = redis.call('HGET', base .. ':g:' .. name .. ':floor', lane) or '0' end
  local added = 0
  if redis.call('EXISTS', stream) == 1 then
    local info = redis.call('XINFO', 'STREAM', stream)
    local length = 0
    for i = 1, #info, 2 do
      if info[i] == 'entries-added' then added = info[i + 1] elseif info[i] == 'length' then length = info[i + 1] end
    end
    if start == '0' then added = added - length end
  end
  if start == '0' or start == '$' or added == 0 then
    local made = redis.pcall('XGROUP', 'CREATE', stream, name, start, 'MKSTREAM', 'ENTRIESREAD', added)
    if not made.err then redis.call('HSETNX', base .. ':g:' .. name .. ':floor', '~', serverRun()) end
    return made
  end
  return redis.pcall('XGROUP', 'CREATE', stream, name, start, 'MKSTREAM')
end
local function ensureLane(lane)
  redis.call('SADD', base .. ':lanes', lane)
  local groups = redis.call('HKEYS', base .. ':groups')
  for _, name in ipairs(groups) do createGroup(lane, name, '0') end
  if #groups == 0 and redis.call('EXISTS', streamOf(lane)) == 0 then
    redis.call('XGROUP', 'CREATE', streamOf(lane), '~', '0', 'MKSTREAM')
    redis.call('XGROUP', 'DESTROY', streamOf(lane), '~')
  end
end
`;

/** A script over the keys of one channel. */
export class ChannelScript extends Script {
  readonly #body: string;

  constructor(body: string) {
    super(SHARED + body);
    this.#body = body;
  }

  /** As a function of a script of many channels, for the one that `useChannel` was told last. */
  asFunction(name: string): string {
    return `local function ${name}(ARGV) ${this.#body} end\n`;
  }
}

/** What stands in front of channel scripts that are functions of another. */
export const CHANNELS = `${SHARED}
local function useChannel(key) base = key end
`;

/** Makes a {@link ChannelScript}. */
export function channelScript(body: string): ChannelScript {
  return new ChannelScript(body);
}
