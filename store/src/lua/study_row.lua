-- Part of the scripts that answer with a study: all that is stored of it.
-- A flat list, field, value, …, with `id` and the best trial's `best_point`; nil where there is no such study or it was deleted.
local function study_row(id)
  local hash = redis.call('HGETALL', study_key(id))
  if #hash == 0 then return nil end
  local fields = {}
  for i = 1, #hash, 2 do fields[hash[i]] = hash[i + 1] end
  if fields.state == 'deleted' then return nil end
  if fields.best and fields.best ~= '' then
    hash[#hash + 1] = 'best_point'
    hash[#hash + 1] = load_trial({id = id, next = tonumber(fields.next)}, fields.best).point
  end
  hash[#hash + 1] = 'id'
  hash[#hash + 1] = id
  return hash
end
