import { channelScript, Script } from "./script.ts";

/** ARGV: lane, then groups that are to have everything of the channel. Makes the lane and the groups where they lack; resolves to all groups. */
export const ENSURE = channelScript(`
for i = 2, #ARGV do redis.call('HSETNX', base .. ':groups', ARGV[i], '0') end
ensureLane(ARGV[1])
return redis.call('HKEYS', base .. ':groups')
`);

/** ARGV: group, where it starts (\`$\`, \`0\` or an id) if it is new. Resolves to the lanes of the channel. */
export const JOIN = channelScript(`
local isNew = redis.call('HSETNX', base .. ':groups', ARGV[1], ARGV[2]) == 1
local lanes = lanesOf()
if #lanes == 0 then redis.call('SADD', base .. ':lanes', ''); lanes = { '' } end
for _, lane in ipairs(lanes) do createGroup(lane, ARGV[1], isNew and ARGV[2] or '0') end
return lanes
`);

/** Resolves to lanes and the last id of each, in turn. */
export const TAILS = channelScript(`
local out = {}
for _, lane in ipairs(lanesOf()) do
  local last = '0-0'
  if redis.call('EXISTS', streamOf(lane)) == 1 then
    local info = redis.call('XINFO', 'STREAM', streamOf(lane))
    for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
  end
  out[#out + 1] = lane
  out[#out + 1] = last
end
return out
`);

/**
 * KEYS[1] is the stream of a lane. ARGV: for each entry how many fields and values follow, and those. Resolves to the ids; false
 * when the lane must be made first, and then nothing was stored.
 */
export const APPEND = new Script(`
local out, i = {}, 1
while i <= #ARGV do
  local n = tonumber(ARGV[i])
  local id = redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', unpack(ARGV, i + 1, i + n))
  if not id then return false end
  out[#out + 1] = id
  i = i + n + 1
end
return out
`);

/**
 * ARGV: lane, window in ms; then for each entry the delay in ms, the id under which it is recognised or '', how many fields and
 * values follow, and those. Resolves to position and 1 for a repeat, in turn; false when the lane must be made first.
 */
export const PUBLISH = channelScript(`
local lane, window = ARGV[1], ARGV[2]
local stream = streamOf(lane)
if redis.call('EXISTS', stream) == 0 then return false end
local out, i = {}, 3
while i <= #ARGV do
  local delay, id, n = tonumber(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2])
  local seen = base .. ':seen:' .. id
  local position = id ~= '' and redis.call('GET', seen)
  if position then
    out[#out + 1] = position
    out[#out + 1] = 1
  else
    if delay > 0 then
      local member = redis.call('INCR', base .. ':delayed:count')
      redis.call('ZADD', base .. ':delayed', math.ceil(now() + delay), member)
      redis.call('HSET', base .. ':delayed:entries', member, cmsgpack.pack({ lane, { unpack(ARGV, i + 3, i + 2 + n) } }))
      position = ''
    else
      position = redis.call('XADD', stream, '*', unpack(ARGV, i + 3, i + 2 + n))
      if lane ~= '' then position = position .. '/' .. lane end
    end
    if id ~= '' then redis.call('SET', seen, position, 'PX', window) end
    out[#out + 1] = position
    out[#out + 1] = 0
  end
  i = i + 3 + n
end
return out
`);
