-- curve: what a trial reported.
-- KEYS the queue
-- ARGV time, study, number
-- OUT  nil, or {metric names (JSON), packed epochs}
local function curve()
  local s, n = load_study(arg()), num()
  if not s or n >= s.next then return nil end
  return {redis.call('HGET', study_key(s.id), 'metrics'), redis.call('HGET', curves_key(s.id), n) or ''}
end
