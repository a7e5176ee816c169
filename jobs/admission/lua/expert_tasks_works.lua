-- Whether a consumer of another system's stream works a task. KEYS: the streams.
-- ARGV: the task's id, milliseconds after which a silent consumer counts as gone, entries to read.
-- An entry that nobody was given yet, or that a silent consumer keeps, is taken out: then the task
-- is ours, and nobody reads of it any more. 1: it is theirs; 0: it is ours.
local task, silent, most = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function parts(id)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function not_after(id, last)
  local ms, seq = parts(id)
  local last_ms, last_seq = parts(last)
  return ms < last_ms or (ms == last_ms and seq <= last_seq)
end

local function names_task(fields)
  for _, text in ipairs(fields) do
    if string.find(text, task, 1, true) then return true end
  end
  return false
end

local function groups_of(stream)
  local found = {}
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = {}
    for i = 1, #fields, 2 do group[fields[i]] = fields[i + 1] end
    table.insert(found, group)
  end
  return found
end

-- 'theirs', 'done' or 'free' for one entry.
local function state_of(stream, groups, id)
  local state = 'free'
  for _, group in ipairs(groups) do
    if not_after(id, group['last-delivered-id']) then
      local held = redis.call('XPENDING', stream, group['name'], id, id, 1)
      if #held == 0 then
        if state == 'free' then state = 'done' end
      elseif held[1][3] < silent then
        return 'theirs'
      else
        redis.call('XACK', stream, group['name'], id)
      end
    end
  end
  return state
end

local theirs = 0
for _, stream in ipairs(KEYS) do
  if redis.call('TYPE', stream)['ok'] == 'stream' then
    local groups = groups_of(stream)
    for _, entry in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', most)) do
      if names_task(entry[2]) then
        local state = state_of(stream, groups, entry[1])
        if state == 'theirs' then theirs = 1 end
        if state == 'free' then redis.call('XDEL', stream, entry[1]) end
      end
    end
  end
end
return theirs
