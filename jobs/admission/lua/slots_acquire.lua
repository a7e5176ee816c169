-- Grant a slot, or deny it and keep the caller's place in the queue.
--
-- ARGV: backend, member, limit, heavy (0|1), heavy_limit, total_limit (-1: none), lease_ms,
--       place_ms, grace_ms, known_generation, known_grant, wait (0|1),
--       kept (slots that only interactive members get), model ('': not known),
--       kept_of_total (the same over all backends)
-- Returns: granted (0|1), grant_number, in use, heavy in use, code, ahead, closed_ms, generation,
--          lost (0|1)

local backend, member = ARGV[1], ARGV[2]
local limit, heavy, heavy_limit = tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
local total_limit, lease_ms = tonumber(ARGV[6]), tonumber(ARGV[7])
local interactive, kept, model = is_interactive(member), tonumber(ARGV[13]), ARGV[14]
local kept_of_total = tonumber(ARGV[15])

drop_lapsed_slots(backend)
local anybody_waits = drop_lapsed_places(backend)
local memory = recall(backend, tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[9]))
local limits = limit .. ' ' .. heavy_limit
if memory.limits ~= limits then
  redis.call('HSET', STATE, LIMIT .. backend, limits)
end
if memory.total_limit ~= ARGV[6] then
  redis.call('HSET', STATE, 'total_limit', ARGV[6])
end
local in_use = redis.call('ZCARD', key(backend, 'held'))
local heavy_in_use = redis.call('ZCARD', key(backend, 'heavy'))
local holds_already = in_use > 0 and redis.call('ZSCORE', key(backend, 'held'), member)

local function reply(granted, grant_number, code, ahead)
  return {
    granted, grant_number, in_use, heavy_in_use, code, ahead, math.max(0, memory.closed_until - now),
    string.format('%.0f', memory.generation), memory.lost and 1 or 0,
  }
end

local function grant(code)
  local grant_number = math.max(memory.grant_number + 1, now_us)
  redis.call('HSET', STATE, 'grant_number', string.format('%.0f', grant_number))
  hold(backend, member, heavy, lease_ms)
  if anybody_waits then
    leave_queue(backend, member)
  end
  if not holds_already then
    in_use = in_use + 1
    heavy_in_use = heavy_in_use + (heavy and 1 or 0)
  end
  return reply(1, grant_number, code, 0)
end

-- How many of the free slots of `name` belong to those with an earlier ticket than `ticket`: a heavy one
-- counts only as far as the heavy limit would let it in, so it never blocks a light one for nothing.
local function taken_by_earlier(name, ticket, free, heavy_free)
  local before = '(' .. string.format('%.0f', ticket)
  local light = redis.call('ZCOUNT', key(name, 'waiting'), '-inf', before)
  local weighty = redis.call('ZCOUNT', key(name, 'waiting_heavy'), '-inf', before)
  return math.max(0, math.min(free, light + math.min(weighty, math.max(0, heavy_free)))), weighty
end

-- Whether the model of a background member must stay out of memory for one that people wait for.
local function gives_way()
  if interactive or model == '' then
    return false
  end
  local admitted = key(backend, 'admitted')
  return redis.call('EXISTS', admitted) == 1 and redis.call('SISMEMBER', admitted, model) == 0
end

-- Slots that background members hold: what a reservation bounds.
local function background(name, used)
  return used - redis.call('ZCARD', key(name, 'interactive'))
end

local function others(ticket)
  local used, reserved, of_background = 0, 0, 0
  for _, name in ipairs(known_backends()) do
    if name ~= backend then
      drop_lapsed_slots(name)
      local its_use = redis.call('ZCARD', key(name, 'held'))
      used = used + its_use
      of_background = of_background + (kept_of_total > 0 and background(name, its_use) or 0)
      if drop_lapsed_places(name) then
        local its_limit, its_heavy = limits_of(name)
        local its_heavy_use = redis.call('ZCARD', key(name, 'heavy'))
        reserved = reserved + taken_by_earlier(name, ticket, its_limit - its_use, its_heavy - its_heavy_use)
      end
    end
  end
  return used, reserved, of_background
end

local function refusal(ticket)
  if memory.closed_until > now then
    return 'recovering', 0
  end
  if gives_way() then
    return 'gives_way', 0
  end
  if in_use >= limit then
    return 'full', 0
  end
  if not interactive and kept > 0 and background(backend, in_use) >= math.max(1, limit - kept) then
    return 'kept', 0
  end
  if heavy and heavy_in_use >= heavy_limit then
    return 'heavy_full', 0
  end
  local ahead, heavy_ahead = 0, 0
  if anybody_waits then
    ahead, heavy_ahead = taken_by_earlier(backend, ticket, limit - in_use, heavy_limit - heavy_in_use)
  end
  if in_use + ahead >= limit then
    return 'queued', ahead
  end
  if heavy and heavy_in_use + heavy_ahead >= heavy_limit then
    return 'queued', heavy_ahead
  end
  if total_limit >= 0 then
    local used, reserved, of_background = others(ticket)
    if in_use + used >= total_limit then
      return 'total_full', 0
    end
    if not interactive and kept_of_total > 0
      and of_background + background(backend, in_use) >= math.max(1, total_limit - kept_of_total) then
      return 'kept', 0
    end
    if in_use + used + ahead + reserved >= total_limit then
      return 'queued', ahead + reserved
    end
  end
  return nil, 0
end

if holds_already then
  return grant('held')
end

-- Interactive members stand before all others: their tickets are negative, and still in order.
local BEFORE_ALL = 1099511627776
local NEWCOMER = interactive and -1 or 9007199254740992
local line = key(backend, heavy and 'waiting_heavy' or 'waiting')
local ticket = tonumber(anybody_waits and redis.call('ZSCORE', line, member) or NEWCOMER)
local code, ahead = refusal(ticket)
if not code then
  return grant('granted')
end
if ARGV[12] == '1' and code ~= 'gives_way' then
  if ticket == NEWCOMER then
    local drawn = redis.call('HINCRBY', STATE, 'ticket', 1)
    redis.call('ZADD', line, drawn - (interactive and BEFORE_ALL or 0), member)
  end
  redis.call('ZADD', key(backend, 'waiting_until'), now + tonumber(ARGV[8]), member)
elseif anybody_waits then
  leave_queue(backend, member)
end
return reply(0, 0, code, ahead)
