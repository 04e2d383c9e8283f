import { channelScript } from "./script.ts";
/**
 * ARGV: group, consumer, limit, strict, whether the asker holds others. What was given back comes before what is new of
 * its priority. Resolves to deliveries [lane, id, fields, count, note], how many were lost, whether one waits to be
 * handed out alone, how many are ready still.
 */
export const READ = channelScript(`
use(ARGV[1])
local consumer, limit, strict, holds = ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', ARGV[5] == '1'
local out, lost, alone = {}, 0, 0
local function level(lane) if strict then return 50 end return prioOf(lane) end
local function hand(m)
  local id, lane = placed(m)
  local ref = lane .. '|' .. id
  local note, raw = noteOf(ref)
  local suspect = (note.d or 0) >= 2
  if suspect and (holds or #out > 0) then alone = 1 return false end
  redis.call('ZREM', G .. 'ready', m)
  local entry = redis.call('XCLAIM', streamOf(lane), group, consumer, 0, id)[1]
  if not entry then
    redis.call('HDEL', G .. 'notes', ref)
    lost = lost + 1
    if note.k then unlock(note.k, ref) end
    return true
  end
  note.s = nil
  keep(ref, note)
  local count = redis.call('XPENDING', streamOf(lane), group, id, id, 1)[1][4]
  out[#out + 1] = { lane, id, entry[2], count, raw or '' }
  if suspect then alone = 2 return false end
  return true
end
local function fresh(lane, most)
  local reply = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', most, 'STREAMS', streamOf(lane), '>')
  return reply and reply[1] and reply[1][2] or {}
end
local function arrived(lane, entry)
  if lane == 'keyed' then
    local key = fieldOf(entry[2], 'partitionkey')
    local ref = lane .. '|' .. entry[1]
    if key and not lock(key, ref) then
      hold(lane, entry[1])
      keep(ref, { s = 'p', k = key, r = 1 })
      park(key, 50, entry[1], lane)
      return
    end
  end
  out[#out + 1] = { lane, entry[1], entry[2], 1, '' }
end
local lanes = lanesOf()
if strict and #lanes > 1 then
  for _, lane in ipairs(lanes) do
    local staged, looked = 0, 0
    while staged < limit and looked < 2000 do
      local entries = fresh(lane, limit - staged)
      if #entries == 0 then break end
      looked = looked + #entries
      for _, entry in ipairs(entries) do
        local key = lane == 'keyed' and fieldOf(entry[2], 'partitionkey') or nil
        local ref = lane .. '|' .. entry[1]
        hold(lane, entry[1])
        keep(ref, { s = 'y', k = key, r = 1 })
        if key and not lock(key, ref) then park(key, 50, entry[1], lane)
        else ready(50, entry[1], lane) staged = staged + 1 end
      end
    end
  end
  lanes = {}
end
local at, scanned, going = 1, 0, true
while going and #out < limit and scanned < 2000 do
  local m = redis.call('ZRANGEBYLEX', G .. 'ready', '-', '+', 'LIMIT', 0, 1)[1]
  if m and (at > #lanes or tonumber(string.sub(m, 1, 2)) <= level(lanes[at])) then
    going = hand(m)
  elseif at <= #lanes then
    local asked = limit - #out
    local entries = fresh(lanes[at], asked)
    scanned = scanned + #entries
    for _, entry in ipairs(entries) do arrived(lanes[at], entry) end
    if #entries < asked then at = at + 1 end
  else going = false end
end
return { out, lost, alone, redis.call('ZCARD', G .. 'ready'), #out >= limit and 1 or 0 }
`);

/**
 * ARGV: group, consumer, strict, then for each settlement: kind (a, n, r), lane, id, count, key, delay in ms, failures.
 * Does nothing for an entry that is another's by now. Resolves to how many are ready by it, and the ms until the next retry or -1.
 */
export const SETTLE = channelScript(`
use(ARGV[1])
local consumer, strict, woke, soonest = ARGV[2], ARGV[3] == '1', 0, -1
local at = now()
for i = 4, #ARGV, 7 do
  local kind, lane, id, key, delay = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4], tonumber(ARGV[i + 5])
  local ref = lane .. '|' .. id
  local pending = redis.call('XPENDING', streamOf(lane), group, id, id, 1)[1]
  if pending and pending[2] == consumer and pending[4] == tonumber(ARGV[i + 3]) then
    if kind == 'a' then
      redis.call('XACK', streamOf(lane), group, id)
      redis.call('HDEL', G .. 'notes', ref)
      if key ~= '' then woke = woke + unlock(key, ref) end
    else
      local note = noteOf(ref)
      note.d = nil
      note.s = 'y'
      if key ~= '' then note.k = key end
      if kind == 'r' then note.r = (note.r or 0) + 1 elseif ARGV[i + 6] ~= '' then note.f = ARGV[i + 6] end
      hold(lane, id)
      keep(ref, note)
      if delay > 0 then
        redis.call('ZADD', G .. 'retry', math.ceil(at + delay), ref)
        if soonest < 0 or delay < soonest then soonest = delay end
        if key ~= '' and not strict then woke = woke + unlock(key, ref) end
      else
        ready(strict and 50 or prioOf(lane), id, lane)
        woke = woke + 1
      end
    end
  end
end
return { woke, math.ceil(soonest) }
`);

/** ARGV: group, consumer, then lane, id and count of each. The lease of what is still the consumer's starts anew; resolves to how many. */
export const EXTEND = channelScript(`
use(ARGV[1])
local kept = 0
for i = 3, #ARGV, 3 do
  local stream = streamOf(ARGV[i])
  local pending = redis.call('XPENDING', stream, group, ARGV[i + 1], ARGV[i + 1], 1)[1]
  if pending and pending[2] == ARGV[2] and pending[4] == tonumber(ARGV[i + 2]) then
    redis.call('XCLAIM', stream, group, ARGV[2], 0, ARGV[i + 1], 'JUSTID')
    kept = kept + 1
  end
end
return kept
`);

/** ARGV: group, consumer. Gives back what the consumer holds, uncounted, and forgets the consumer. Resolves to how many it held. */
export const LEAVE = channelScript(`
use(ARGV[1])
local back = 0
for _, lane in ipairs(lanesOf()) do
  local stream = streamOf(lane)
  local more = true
  while more do
    local held = redis.pcall('XPENDING', stream, group, '-', '+', 500, ARGV[2])
    if held.err then break end
    for _, p in ipairs(held) do
      local ref = lane .. '|' .. p[1]
      local note = noteOf(ref)
      note.r = (note.r or 0) + 1
      note.s = 'y'
      if lane == 'keyed' then
        local entry = redis.call('XRANGE', stream, p[1], p[1])[1]
        note.k = entry and fieldOf(entry[2], 'partitionkey') or nil
      end
      hold(lane, p[1])
      keep(ref, note)
      ready(prioOf(lane), p[1], lane)
      back = back + 1
    end
    more = #held == 500
  end
  local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
  if not consumers.err then
    for _, c in ipairs(consumers) do
      if c[2] == ARGV[2] and c[4] == 0 then redis.call('XGROUP', 'DELCONSUMER', stream, group, ARGV[2]) end
    end
  end
end
return back
`);
