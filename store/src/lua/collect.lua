-- collect: the service's metrics at one moment; costs the same however many studies there are.
-- KEYS the queue
-- ARGV time, n device classes
-- OUT  name, number, name, number, …
local function collect()
  local out = redis.call('HGETALL', TOTALS)
  local function add(name, value)
    out[#out + 1] = name
    out[#out + 1] = value
  end
  for _, class in ipairs(list()) do add('runnable:' .. class, redis.call('ZCARD', ring(class))) end
  add('wanted', redis.call('SCARD', WANTED))
  add('trainers', redis.call('ZCOUNT', TRAINERS, NOW - LIMIT.TRAINER_TTL_MS, '+inf'))
  add('slots', SLOTS)
  -- The queue's bounds may be a heartbeat old; the study's own set says how late its oldest lease really is.
  local overdue = 0
  for _, id in ipairs(due(LEASES, LIMIT.DUE_BATCH)) do
    local first = redis.call('ZRANGE', state_key(id, 'running'), 0, 0, 'WITHSCORES')
    if first[2] then overdue = math.max(overdue, NOW - first[2]) end
  end
  add('lease_overdue_ms', overdue)
  local info = redis.call('INFO', 'memory')
  add('memory', tonumber(string.match(info, 'used_memory:(%d+)')))
  add('memory_max', tonumber(string.match(info, 'maxmemory:(%d+)')))
  return out
end
