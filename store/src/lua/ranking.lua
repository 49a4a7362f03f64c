-- ranking: the completed trials' numbers, best first, from the kept best; deeper: the packed column of scores, to be sorted by the caller.
-- KEYS lane
-- ARGV time, study, how many
-- OUT  {1 the study is there | 0, next number, numbers packed u32 big endian | '' , column of f64 big endian ('' when the numbers suffice)}
local function ranking()
  local s, wanted = load_study(arg()), num()
  if not s then return {0, 0, '', ''} end
  if wanted > LIMIT.best and s.completed > LIMIT.best then
    return {1, s.next, '', redis.call('GET', of(s.id, 'values')) or ''}
  end
  return {1, s.next, table.concat(redis.call('ZRANGE', of(s.id, 'best'), 0, wanted - 1)), ''}
end
