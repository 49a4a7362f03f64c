-- ranking: the numbers of the completed trials, best first; beyond the best that are kept, the packed column of all scores, for the caller to sort.
-- KEYS the queue
-- ARGV time, study, how many
-- OUT  {1 the study is there | 0, next number, packed (number u32, score f64) big endian each, column of f64 big endian ('' when those suffice)}
local function ranking()
  local s, wanted = load_study(arg()), num()
  if not s then return {0, 0, '', ''} end
  if wanted > LIMIT.BEST_KEPT and s.completed > LIMIT.BEST_KEPT then
    return {1, s.next, '', redis.call('GET', values_key(s.id)) or ''}
  end
  local best, packed = redis.call('ZRANGE', best_key(s.id), 0, wanted - 1, 'WITHSCORES'), {}
  for i = 1, #best, 2 do packed[#packed + 1] = best[i] .. struct.pack('>d', tonumber(best[i + 1])) end
  return {1, s.next, table.concat(packed), ''}
end
