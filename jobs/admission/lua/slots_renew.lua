-- Extend every slot of a process in one go.
--
-- ARGV: lease_ms, grace_ms, known_generation, known_grant, then for each slot:
--       backend, member, heavy (0|1), limit
-- Returns: generation, grant_number, then for each slot: 1 extended, 2 put back, 0 lost for good

local lease_ms = tonumber(ARGV[1])
local memory = recall('', tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[2]))
local answers = {
  string.format('%.0f', memory.generation), string.format('%.0f', memory.grant_number),
}
local cleaned = {}

for i = 5, #ARGV, 4 do
  local backend, member = ARGV[i], ARGV[i + 1]
  local heavy, limit = ARGV[i + 2] == '1', tonumber(ARGV[i + 3])
  if not cleaned[backend] then
    drop_lapsed_slots(backend)
    cleaned[backend] = true
  end
  local answer = 0
  if redis.call('ZSCORE', key(backend, 'held'), member) then
    answer = 1
  elseif memory.lost or redis.call('ZCARD', key(backend, 'held')) < (limits_of(backend) or limit) then
    answer = 2
  end
  if answer > 0 then
    hold(backend, member, heavy, lease_ms)
  end
  answers[#answers + 1] = answer
end
return answers
