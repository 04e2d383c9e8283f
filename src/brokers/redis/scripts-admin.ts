import { channelScript } from "./script.ts";

/** Resolves to the depth, then for each group its name, what it has not acknowledged, and what of it is handed out. */
export const REPORT = channelScript(`
local delayed = redis.call('ZCARD', base .. ':delayed')
local depth = delayed
local names = redis.call('HKEYS', base .. ':groups')
local lag, out = {}, {}
for _, name in ipairs(names) do lag[name] = delayed; out[name] = 0 end
for _, lane in ipairs(lanesOf()) do
  local stream = streamOf(lane)
  if redis.call('EXISTS', stream) == 1 then
    local length = redis.call('XLEN', stream)
    depth = depth + length
    for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      local m = {}
      for i = 1, #g, 2 do m[g[i]] = g[i + 1] end
      local name = m['name']
      if lag[name] then
        local behind = m['lag'] or #redis.call('XRANGE', stream, '(' .. m['last-delivered-id'], '+')
        lag[name] = lag[name] + behind + m['pending']
        local kept = 0
        for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', stream, name)) do if c[2] == '~' then kept = c[4] end end
        out[name] = out[name] + m['pending'] - kept
      end
    end
  end
end
local reply = { depth }
for _, name in ipairs(names) do
  reply[#reply + 1] = name
  reply[#reply + 1] = lag[name]
  reply[#reply + 1] = out[name]
end
return reply
`);

const FORGET_GROUP = `
local function forgetGroup(name)
  use(name)
  redis.call('DEL', G .. 'ready', G .. 'parked', G .. 'retry', G .. 'notes', G .. 'locks', G .. 'floor')
end
`;

/** Empties every lane; groups stand at the end. Resolves to how many went. */
export const PURGE = channelScript(`${FORGET_GROUP}
local gone = redis.call('ZCARD', base .. ':delayed')
redis.call('DEL', base .. ':delayed', base .. ':delayed:entries')
local names = redis.call('HKEYS', base .. ':groups')
for _, name in ipairs(names) do forgetGroup(name) end
for _, lane in ipairs(lanesOf()) do
  local stream = streamOf(lane)
  if redis.call('EXISTS', stream) == 1 then
    gone = gone + redis.call('XTRIM', stream, 'MAXLEN', 0)
    for _, name in ipairs(names) do
      redis.call('XGROUP', 'DESTROY', stream, name)
      createGroup(lane, name, '$')
    end
  end
end
return gone
`);

/** Deletes every key of the channel but the ids it recognises. */
export const REMOVE = channelScript(`${FORGET_GROUP}
for _, name in ipairs(redis.call('HKEYS', base .. ':groups')) do forgetGroup(name) end
for _, lane in ipairs(lanesOf()) do redis.call('DEL', streamOf(lane)) end
redis.call('DEL', base, base .. ':lanes', base .. ':groups', base .. ':delayed', base .. ':delayed:entries', base .. ':delayed:count', base .. ':kept')
return 1
`);

/** ARGV: how long the channel keeps each envelope, ms, or ''. */
export const DECLARE = channelScript(`
if redis.call('SCARD', base .. ':lanes') == 0 then ensureLane('') end
if ARGV[1] ~= '' then redis.call('SET', base .. ':kept', ARGV[1]) end
return 1
`);

/** ARGV: lane and id in turn. Deletes entries, for every group too. Resolves to how many were there. */
export const ERASE = channelScript(`
local gone = 0
local names = redis.call('HKEYS', base .. ':groups')
for i = 1, #ARGV, 2 do
  local lane, id = ARGV[i], ARGV[i + 1]
  local stream = streamOf(lane)
  if redis.call('XDEL', stream, id) == 1 then
    gone = gone + 1
    for _, name in ipairs(names) do
      use(name)
      local ref = lane .. '|' .. id
      local note = noteOf(ref)
      redis.pcall('XACK', stream, name, id)
      redis.call('HDEL', G .. 'notes', ref)
      redis.call('ZREM', G .. 'retry', ref)
      redis.call('ZREM', G .. 'ready', place(prioOf(lane), id, lane), place(50, id, lane))
      if note.k then
        redis.call('ZREM', G .. 'parked', keyRange(note.k) .. place(50, id, lane))
        unlock(note.k, ref)
      end
    end
  end
end
return gone
`);

/**
 * ARGV: how long acknowledged envelopes are kept, ms, and how many, about. Trims what every group has acknowledged and
 * nothing else: below the smallest entry that some group has not read or not acknowledged. Resolves to how many went.
 */
export const TRIM = channelScript(`
local kept = redis.call('GET', base .. ':kept')
local age, length = tonumber(kept or ARGV[1]), tonumber(ARGV[2])
local function before(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  return digits(am) .. digits(as) < digits(bm) .. digits(bs)
end
local gone = 0
for _, lane in ipairs(lanesOf()) do
  local stream = streamOf(lane)
  if redis.call('EXISTS', stream) == 1 then
    local floor
    for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      local m = {}
      for i = 1, #g, 2 do m[g[i]] = g[i + 1] end
      local low = m['last-delivered-id']
      if m['pending'] > 0 then low = redis.call('XPENDING', stream, m['name'])[2] end
      if not floor or before(low, floor) then floor = low end
    end
    local cut = string.format('%.0f-0', math.max(0, now() - age))
    local held = redis.call('XLEN', stream)
    if not kept and held > length then
      local info = redis.call('XINFO', 'STREAM', stream)
      local s = {}
      for i = 1, #info, 2 do s[info[i]] = info[i + 1] end
      local first = tonumber(string.match(s['first-entry'][1], '^%d+'))
      local last = tonumber(string.match(floor or s['last-generated-id'], '^%d+'))
      local guess = string.format('%.0f-0', math.floor(first + (last - first) * (held - length) / held * 0.9))
      if before(cut, guess) then cut = guess end
    end
    if floor and before(floor, cut) then cut = floor end
    gone = gone + redis.call('XTRIM', stream, 'MINID', cut)
  end
end
return gone
`);
