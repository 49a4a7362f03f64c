-- wanted: some of the studies that want a top-up.
-- KEYS the queue
-- ARGV time
-- OUT  study ids, at most one batch
local function wanted()
  return redis.call('SRANDMEMBER', WANTED, LIMIT.CLOSING_BATCH)
end
