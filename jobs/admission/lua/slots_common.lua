-- Shared head of every slot script.
--
-- KEYS[1] is the prefix. Under it, for each backend:
--   <backend>:held        zset  member -> lease expiry (ms, clock of Redis)
--   <backend>:heavy       zset  the held members that run a heavy model
--   <backend>:interactive zset  the held members whose name begins with "chat:"
--   <backend>:waiting     zset  light member that was denied -> ticket
--   <backend>:waiting_heavy     the same for heavy members
--   <backend>:waiting_until     zset  waiting member -> when its place lapses (ms)
--   <backend>:admitted    set   the only models whose background members may start; expires by itself
-- and once for all backends:
--   state     hash  generation (us), grant_number, ticket, closed_until (ms), total_limit as last
--                   asked with, and for each backend
--                   "limit <backend>" -> "<limit> <heavy limit>" as last asked with
-- Keys are composed here: this is for one Redis, not for a cluster.

local prefix = KEYS[1]
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local STATE = prefix .. ':state'
local LIMIT = 'limit '

local function key(backend, name)
  return prefix .. ':' .. backend .. ':' .. name
end

local function leave_queue(backend, member)
  if redis.call('ZREM', key(backend, 'waiting_until'), member) == 1 then
    redis.call('ZREM', key(backend, 'waiting'), member)
    redis.call('ZREM', key(backend, 'waiting_heavy'), member)
    return 1
  end
  return 0
end

local function drop_lapsed_slots(backend)
  local gone = redis.call('ZREMRANGEBYSCORE', key(backend, 'held'), '-inf', now)
  if gone > 0 then
    redis.call('ZREMRANGEBYSCORE', key(backend, 'heavy'), '-inf', now)
    redis.call('ZREMRANGEBYSCORE', key(backend, 'interactive'), '-inf', now)
  end
  return gone
end

-- Returns whether anybody still waits: mostly nobody does, and then there is nothing to look up.
local function drop_lapsed_places(backend)
  local places = key(backend, 'waiting_until')
  local waiting = redis.call('ZCARD', places)
  if waiting == 0 then
    return false
  end
  local lapsed = redis.call('ZRANGEBYSCORE', places, '-inf', now)
  for _, member in ipairs(lapsed) do
    leave_queue(backend, member)
  end
  return waiting > #lapsed
end

local function is_interactive(member)
  return string.sub(member, 1, 5) == 'chat:'
end

local function hold(backend, member, heavy, lease_ms)
  redis.call('ZADD', key(backend, 'held'), now + lease_ms, member)
  if heavy then
    redis.call('ZADD', key(backend, 'heavy'), now + lease_ms, member)
  end
  if is_interactive(member) then
    redis.call('ZADD', key(backend, 'interactive'), now + lease_ms, member)
  end
end

local function parsed_limits(stored)
  local limit, heavy_limit = string.match(stored or '', '(%-?%d+) (%-?%d+)')
  return tonumber(limit), tonumber(heavy_limit)
end

local function limits_of(backend)
  return parsed_limits(redis.call('HGET', STATE, LIMIT .. backend))
end

local function known_backends()
  local names = {}
  for _, field in ipairs(redis.call('HKEYS', STATE)) do
    if string.sub(field, 1, #LIMIT) == LIMIT then
      names[#names + 1] = string.sub(field, #LIMIT + 1)
    end
  end
  return names
end

-- Compare what Redis remembers with what the caller has seen. Slots were lost when the generation
-- differs (a flush) or the last grant number is lower than one already issued (a restored snapshot,
-- a lagging replica). Then nothing new is granted until every live holder had time to report:
-- `reporting`, when a slot is put back whatever the limits say, because its call runs anyway.
local function recall(backend, known_generation, known_grant, grace_ms)
  local stored = redis.call(
    'HMGET', STATE, 'generation', 'grant_number', 'closed_until', LIMIT .. backend, 'total_limit')
  local generation, grant_number = tonumber(stored[1]), tonumber(stored[2] or '0')
  local closed_until = tonumber(stored[3] or '0')
  if not generation then
    generation = now_us
    redis.call('HSET', STATE, 'generation', string.format('%.0f', generation))
  end
  local reporting = false
  local lost = known_generation ~= 0 and (generation ~= known_generation or grant_number < known_grant)
  if lost then
    if generation == known_generation then
      generation = now_us
      redis.call('HSET', STATE, 'generation', string.format('%.0f', generation))
    end
    local reopen = math.floor(generation / 1000) + grace_ms
    reporting = reopen > now
    if reporting and reopen > closed_until then
      closed_until = reopen
      redis.call('HSET', STATE, 'closed_until', string.format('%.0f', reopen))
    end
  end
  return {
    generation = generation, grant_number = grant_number, closed_until = closed_until,
    lost = lost, reporting = reporting, limits = stored[4], total_limit = stored[5],
  }
end
