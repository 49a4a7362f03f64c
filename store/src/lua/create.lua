-- create: creates a study, once; its trials come by enqueue. The id of a deleted study is not used again.
-- KEYS the queue
-- ARGV time, id, n names and values of fields, in turn; '' for a limit that there is not
-- OUT  {1 created | 0 the id was there already, study_row}, or -1 it was deleted
local function create()
  local id, given = arg(), list()
  local state = redis.call('HGET', study_key(id), 'state')
  if state == 'deleted' then return -1 end
  if state then return {0, study_row(id)} end
  local fields = {'created', NOW, 'next', 0, 'seq', 0, 'failures_in_a_row', 0, 'vt', 0, 'state', 'running'}
  for _, item in ipairs(given) do fields[#fields + 1] = item end
  for _, state in ipairs(STATES) do
    fields[#fields + 1] = state
    fields[#fields + 1] = 0
  end
  redis.call('HSET', study_key(id), unpack(fields))
  redis.call('ZADD', STUDIES, 0, id)
  local s = load_study(id)
  s.was.state = nil
  save(s)
  return {1, study_row(id)}
end
