-- cleared: the checkpoints of an ended trial are gone.
-- KEYS the queue
-- ARGV time, study, number
-- OUT  1 they were waited for, 0 not
local function cleared()
  local id, n = arg(), arg()
  return redis.call('ZREM', LEFTOVERS, id .. ':' .. n)
end
