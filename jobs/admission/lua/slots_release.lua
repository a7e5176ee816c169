-- Give a slot back, or give up a place in the queue, and notify whoever waits.
--
-- ARGV: backend, then the members to let go
-- Returns: how many slots were freed, free slots of that backend now

local backend = ARGV[1]
local anybody_waits = drop_lapsed_places(backend)
local freed, left = 0, 0
for i = 2, #ARGV do
  if redis.call('ZREM', key(backend, 'held'), ARGV[i]) == 1 then
    freed = freed + 1
    redis.call('ZREM', key(backend, 'heavy'), ARGV[i])
    redis.call('ZREM', key(backend, 'interactive'), ARGV[i])
  end
  if anybody_waits then
    left = left + leave_queue(backend, ARGV[i])
  end
end
local lapsed = drop_lapsed_slots(backend)
if freed + left + lapsed > 0 then
  redis.call('PUBLISH', prefix .. ':freed', backend)
end
local limit = limits_of(backend) or 0
return { freed, math.max(0, limit - redis.call('ZCARD', key(backend, 'held'))) }
