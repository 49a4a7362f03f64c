-- ranking: the completed trials' numbers, best first, from the kept best; deeper: the packed column of scores, to be sorted by the caller.
-- KEYS the queue
-- ARGV time, study, how many
-- OUT  {1 the study is there | 0, next number, packed (number u32, score f64) big endian each, column of f64 big endian ('' when those suffice)}
local function ranking()
  local s, wanted = load_study(arg()), num()
  if not s then return {0, 0, '', ''} end
  if wanted > LIMIT.best and s.completed > LIMIT.best then
    return {1, s.next, '', redis.call('GET', of(s.id, 'values')) or ''}
  end
  local best, packed = redis.call('ZRANGE', of(s.id, 'best'), 0, wanted - 1, 'WITHSCORES'), {}
  for i = 1, #best, 2 do packed[#packed + 1] = best[i] .. struct.pack('>d', tonumber(best[i + 1])) end
  return {1, s.next, table.concat(packed), ''}
end
