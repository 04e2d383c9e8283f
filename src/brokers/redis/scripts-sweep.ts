import { channelScript } from "./script.ts";
/**
 * ARGV: group, consumer, lease in ms, whether to look at consumers, then a cursor a lane in their order. What is due becomes
 * ready, what dead consumers hold too; consumers that hold nothing and are silent for a lease are forgotten; gaps are counted,
 * but for those that a start of the server has made: a group's count of what it read is not in the log of Redis 7.0.
 * Resolves to: ready, unread (0 or 1), ms until the next is due or -1, entries that were moved to lanes, lost, lanes without
 * the group, unread and unacknowledged, ever added, lanes, cursors.
 */
export const SWEEP = channelScript(`
use(ARGV[1])
local consumer, lease, tidy = ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
local at = now()
local moved, lost, unread, missing, lag, added = 0, 0, 0, 0, 0, 0
local run = serverRun()
local counts = redis.call('HGET', G .. 'floor', '~') == run
if not counts then redis.call('HSET', G .. 'floor', '~', run) end
local due = redis.call('ZRANGEBYSCORE', base .. ':delayed', '-inf', at, 'LIMIT', 0, 200)
for _, member in ipairs(due) do
  local packed = redis.call('HGET', base .. ':delayed:entries', member)
  if packed then
    local entry = cmsgpack.unpack(packed)
    if redis.call('SISMEMBER', base .. ':lanes', entry[1]) == 0 then ensureLane(entry[1]) end
    redis.call('XADD', streamOf(entry[1]), '*', unpack(entry[2]))
    moved = moved + 1
  end
  redis.call('HDEL', base .. ':delayed:entries', member)
  redis.call('ZREM', base .. ':delayed', member)
end
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', G .. 'retry', '-inf', at, 'LIMIT', 0, 500)) do
  redis.call('ZREM', G .. 'retry', ref)
  local lane, id = string.match(ref, '^([^|]*)|(.*)$')
  local note = noteOf(ref)
  if note.k and not lock(note.k, ref) then park(note.k, 50, id, lane) else ready(prioOf(lane), id, lane) end
end
local lanes = lanesOf()
local cursors = {}
for n, lane in ipairs(lanes) do
  local stream = streamOf(lane)
  local claimed = redis.pcall('XAUTOCLAIM', stream, group, '~', lease, ARGV[4 + n] or '0-0', 'COUNT', 200, 'JUSTID')
  if claimed.err then
    missing = missing + 1
    cursors[n] = '0-0'
  else
    cursors[n] = claimed[1]
    for _, id in ipairs(claimed[2]) do
      local ref = lane .. '|' .. id
      local note = noteOf(ref)
      if not note.s then
        note.s = 'y'
        note.d = (note.d or 0) + 1
        if lane == 'keyed' then
          local entry = redis.call('XRANGE', stream, id, id)[1]
          note.k = entry and fieldOf(entry[2], 'partitionkey') or nil
          if note.k then redis.call('HSET', G .. 'locks', note.k, ref) end
        end
        keep(ref, note)
        ready(prioOf(lane), id, lane)
      end
    end
    for _, id in ipairs(claimed[3] or {}) do
      lost = lost + 1
      local ref = lane .. '|' .. id
      local note = noteOf(ref)
      redis.call('HDEL', G .. 'notes', ref)
      redis.call('ZREM', G .. 'retry', ref)
      redis.call('ZREM', G .. 'ready', place(prioOf(lane), id, lane), place(50, id, lane))
      if note.k then unlock(note.k, ref) end
    end
    local info, mine = redis.call('XINFO', 'STREAM', stream), nil
    local s = {}
    for i = 1, #info, 2 do s[info[i]] = info[i + 1] end
    for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do if g[2] == group then mine = g end end
    local m = {}
    for i = 1, #mine, 2 do m[mine[i]] = mine[i + 1] end
    local last, behind = m['last-delivered-id'], m['lag']
    lag = lag + m['pending']
    added = added + s['entries-added']
    local low = last
    if m['pending'] > 0 then
      local ms, seq = string.match(redis.call('XPENDING', stream, group)[2], '^(%d+)-(%d+)$')
      low = seq == '0' and string.format('%.0f-18446744073709551615', tonumber(ms) - 1) or string.format('%s-%.0f', ms, tonumber(seq) - 1)
    end
    if redis.call('HGET', G .. 'floor', lane) ~= low then redis.call('HSET', G .. 'floor', lane, low) end
    local coming = s['last-generated-id'] ~= last and redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1)[1] or nil
    if coming then unread = 1 end
    if behind and behind > 0 then
      local left
      if not coming then left = 0
      elseif s['first-entry'][1] == coming[1] then left = s['length']
      elseif behind <= 100 then left = #redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', behind + 1) end
      if left and left < behind then
        if counts then lost = lost + behind - left end
        redis.call('XGROUP', 'SETID', stream, group, last, 'ENTRIESREAD', s['entries-added'] - left)
        behind = left
      end
      lag = lag + behind
    end
    if tidy then
      for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
        if c[4] == 0 and c[6] > lease and c[2] ~= consumer and c[2] ~= '~' then
          redis.call('XGROUP', 'DELCONSUMER', stream, group, c[2])
        end
      end
    end
  end
end
local soonest = -1
for _, zset in ipairs({ base .. ':delayed', G .. 'retry' }) do
  local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')[2]
  if first and (soonest < 0 or first - at < soonest) then soonest = math.max(0, first - at) end
end
return { redis.call('ZCARD', G .. 'ready'), unread, math.ceil(soonest), moved, lost, missing, lag, added, lanes, cursors }
`);
