-- What is held now. Changes nothing.
--
-- ARGV: backends, or none for every backend that ever had a request
-- Returns: now (ms), then for each: backend, limit, heavy limit, waiting,
--          [member, expiry ms, ...], [heavy members]

local names = #ARGV > 0 and ARGV or known_backends()
local answer = { string.format('%.0f', now) }
local alive = '(' .. string.format('%.0f', now)
for _, backend in ipairs(names) do
  local limit, heavy_limit = limits_of(backend)
  answer[#answer + 1] = {
    backend, limit or 0, heavy_limit or 0,
    redis.call('ZCOUNT', key(backend, 'waiting_until'), alive, '+inf'),
    redis.call('ZRANGEBYSCORE', key(backend, 'held'), alive, '+inf', 'WITHSCORES'),
    redis.call('ZRANGEBYSCORE', key(backend, 'heavy'), alive, '+inf'),
  }
end
return answer
