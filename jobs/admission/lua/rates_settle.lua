-- Put the tokens really used in the place of those expected, where that second still counts.
--
-- KEYS[1] the hash. ARGV: second of the grant, difference in tokens, window seconds
-- Returns: 1 when corrected, 0 when the window has moved on or Redis forgot the grant

local second = tonumber(ARGV[1])
local now = tonumber(redis.call('TIME')[1])
local field = 't ' .. ARGV[1]
local expected = redis.call('HGET', KEYS[1], field)
if second < now - tonumber(ARGV[3]) or not expected then
  return 0
end
local corrected = math.max(0, tonumber(expected) + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], field, string.format('%.0f', corrected))
return 1
