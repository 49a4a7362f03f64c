-- delete: leaves a tombstone. The study is no longer found and its trainers lose its trials; once none of them can write any more, reap hands
-- it out to be purged.
-- KEYS the queue
-- ARGV time, study, lease ms
-- OUT  1 deleted, 0 no such study
local function delete()
  local s = load_study(arg())
  if not s then return 0 end
  count(studies_total(s.state), -1)
  for _, state in ipairs(STATES) do count(trials_total(s, state), 0 - s[state]) end
  redis.call('HSET', study_key(s.id), 'state', 'deleted')
  for _, set in ipairs({STUDIES, LEASES, DELAYED, ring(s.class)}) do redis.call('ZREM', set, s.id) end
  redis.call('SREM', WANTED, s.id)
  redis.call('SREM', CLOSING, s.id)
  redis.call('ZADD', DELETED, s.running > 0 and NOW + num() or NOW, s.id)
  return 1
end
