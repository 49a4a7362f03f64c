-- create: a study, once; its trials come by enqueue. The id of one that was deleted is not used again.
-- KEYS the queue
-- ARGV time, id, then `n` field values in the order: spec, preflight, dataset, metrics, name, class, dataset_hash, dataset_id, step_bytes,
--      weight, sign, max_trials, max_parallel, max_failures, max_stalls, backoff_ms, row_max ('' where there is none)
-- OUT  {1 created | 0 the id was there already, study_row}, or -1 it was deleted
local function create()
  local id, given = arg(), list()
  local state = redis.call('HGET', study_key(id), 'state')
  if state == 'deleted' then return -1 end
  if state then return {0, study_row(id)} end
  local names = {'spec', 'preflight', 'dataset', 'metrics', 'name', 'class', 'dataset_hash', 'dataset_id', 'step_bytes', 'weight', 'sign',
    'max_trials', 'max_parallel', 'max_failures', 'max_stalls', 'backoff_ms', 'row_max'}
  local fields = {'created', NOW, 'next', 0, 'seq', 0, 'row', 0, 'vt', 0, 'state', 'running', 'sv', 1}
  for i, name in ipairs(names) do
    fields[#fields + 1] = name
    fields[#fields + 1] = given[i]
  end
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
