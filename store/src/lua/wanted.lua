-- wanted: studies that want top_up.
-- KEYS the queue
-- ARGV time
-- OUT  study ids, at most one batch
local function wanted()
  return redis.call('SRANDMEMBER', WANTED, LIMIT.closing)
end
