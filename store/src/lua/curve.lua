-- curve: what a trial reported.
-- KEYS lane
-- ARGV time, study, number
-- OUT  nil, or {metric names (JSON), packed points}
local function curve()
  local s, n = load_study(arg()), arg()
  if not s or redis.call('HEXISTS', of(s.id, 'trials'), n) == 0 then return nil end
  return {redis.call('HGET', study_key(s.id), 'metrics'), redis.call('HGET', of(s.id, 'curves'), n) or ''}
end
