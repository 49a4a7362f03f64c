-- studies: one study by id, or a page of the newest before a cursor, filtered.
-- KEYS the queue
-- ARGV time, id ('' for a page), cursor ('' from the newest), limit, state ('' any), part of the name ('' any)
-- OUT  {id to go on after ('' at the end), n hashes: field, value, …; with `id` and the best trial's `best_point`}
local function studies()
  local id, after, limit, state, name = arg(), arg(), num(), arg(), arg()
  if id ~= '' then return {'', study_row(id)} end
  local from = after == '' and '+' or '(' .. after
  local ids = redis.call('ZRANGE', STUDIES, from, '-', 'BYLEX', 'REV', 'LIMIT', 0, LIMIT.STUDIES_SCANNED_MAX)
  local out = {''}
  for i, candidate in ipairs(ids) do
    local is = redis.call('HMGET', study_key(candidate), 'state', 'name')
    if (state == '' or is[1] == state) and (name == '' or string.find(is[2], name, 1, true)) then
      out[#out + 1] = study_row(candidate)
    end
    if #out > limit or i == LIMIT.STUDIES_SCANNED_MAX then
      if ids[i + 1] or i == LIMIT.STUDIES_SCANNED_MAX then out[1] = candidate end
      break
    end
  end
  return out
end
