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

local function clean(backend)
  if not cleaned[backend] then
    drop_lapsed_slots(backend)
    cleaned[backend] = true
  end
end

local function all_held()
  local held = 0
  for _, backend in ipairs(known_backends()) do
    clean(backend)
    held = held + redis.call('ZCARD', key(backend, 'held'))
  end
  return held
end

local function has_room(backend, heavy, limit)
  local its_limit, its_heavy = limits_of(backend)
  if redis.call('ZCARD', key(backend, 'held')) >= (its_limit or limit) then
    return false
  end
  if heavy and redis.call('ZCARD', key(backend, 'heavy')) >= (its_heavy or limit) then
    return false
  end
  local total_limit = tonumber(memory.total_limit or '-1')
  return total_limit < 0 or all_held() < total_limit
end

for i = 5, #ARGV, 4 do
  local backend, member = ARGV[i], ARGV[i + 1]
  local heavy, limit = ARGV[i + 2] == '1', tonumber(ARGV[i + 3])
  clean(backend)
  local answer = 0
  if redis.call('ZSCORE', key(backend, 'held'), member) then
    answer = 1
  elseif memory.reporting or has_room(backend, heavy, limit) then
    answer = 2
  end
  if answer > 0 then
    hold(backend, member, heavy, lease_ms)
  end
  answers[#answers + 1] = answer
end
return answers
