-- Count a request and its expected tokens against the last minute, if both fit.
--
-- The window is kept as whole seconds: field "r <second>" and "t <second>" of one hash. A second
-- counts until all of it is older than the window, so no 60 s ever hold more than the limit.
--
-- KEYS[1] the hash. ARGV: requests, tokens, request limit, token limit (-1: none), window seconds
-- Returns: granted (0|1), code, wait_ms (-1 when granted), second

local requests, tokens = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local second = tonumber(clock[1])
local now_ms = second * 1000 + math.floor(clock[2] / 1000)
local window = tonumber(ARGV[5])

local spent = { r = {}, t = {} }
local total = { r = 0, t = 0 }
local stored = redis.call('HGETALL', KEYS[1])
local old = {}
for i = 1, #stored, 2 do
  local kind, at = string.match(stored[i], '(%a) (%d+)')
  at = tonumber(at)
  if at < second - window then
    old[#old + 1] = stored[i]
  else
    local amount = tonumber(stored[i + 1])
    spent[kind][#spent[kind] + 1] = { at = at, amount = amount }
    total[kind] = total[kind] + amount
  end
end
if #old > 0 then
  redis.call('HDEL', KEYS[1], unpack(old))
end

-- When enough of the oldest seconds have left the window. What exceeds the whole limit by itself
-- waits for an empty window and then goes alone: it could never go otherwise.
local function wait_ms(kind, amount, limit)
  if limit < 0 or amount <= 0 then
    return 0
  end
  local allowed = math.max(0, limit - amount)
  local left = total[kind]
  if left <= allowed then
    return 0
  end
  table.sort(spent[kind], function(one, other) return one.at < other.at end)
  for _, entry in ipairs(spent[kind]) do
    left = left - entry.amount
    if left <= allowed then
      return math.max(1, (entry.at + window + 1) * 1000 - now_ms)
    end
  end
  return window * 1000
end

local for_requests = wait_ms('r', requests, tonumber(ARGV[3]))
local for_tokens = wait_ms('t', tokens, tonumber(ARGV[4]))
if for_requests > 0 or for_tokens > 0 then
  local code = for_requests >= for_tokens and 'requests' or 'tokens'
  return { 0, code, math.max(for_requests, for_tokens), second, total.r, total.t }
end
redis.call('HINCRBY', KEYS[1], 'r ' .. second, requests)
redis.call('HINCRBY', KEYS[1], 't ' .. second, tokens)
redis.call('EXPIRE', KEYS[1], window + 2)
return { 1, 'granted', -1, second, total.r + requests, total.t + tokens }
