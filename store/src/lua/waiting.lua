-- waiting: the needs of the studies that can be claimed from or have running trials; the least served of a class first, since they may wait for good.
-- KEYS the queue
-- ARGV time, n device classes, how many studies of each class, and with running trials, at most
-- OUT  a row for each study: {id, state, class, dataset id, bytes of a step, queued, running}
local function waiting()
  local classes, most, out, seen = list(), num(), {}, {}
  local function add(index)
    for _, id in ipairs(redis.call('ZRANGE', index, 0, most - 1)) do
      if not seen[id] then
        seen[id] = true
        local row = redis.call('HMGET', study_key(id), 'state', 'class', 'dataset_id', 'step_bytes', 'queued', 'running')
        if row[2] then out[#out + 1] = {id, unpack(row)} end
      end
    end
  end
  for _, class in ipairs(classes) do add(ring(class)) end
  add(LEASES)
  return out
end
