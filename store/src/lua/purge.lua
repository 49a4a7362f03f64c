-- purge: removes the keys of a deleted study, after its artifacts. Its id stays taken for as long as an idempotency key may ask for it.
-- KEYS the queue
-- ARGV time, study
-- OUT  1 purged, 0 there is nothing to purge
local function purge()
  local id = arg()
  if redis.call('ZREM', DELETED, id) == 0 then return 0 end
  redis.call('UNLINK', study_key(id), unpack(keys_of_study(id)))
  redis.call('HSET', study_key(id), 'state', 'deleted')
  redis.call('PEXPIRE', study_key(id), LIMIT.IDEMPOTENCY_MS)
  return 1
end
