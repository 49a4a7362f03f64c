-- reserve: reserves an idempotency key before its study is created. The same request again gets the same study id.
-- KEYS the queue
-- ARGV time, key, study id, request hash
-- OUT  {study id, 1 the request is the same | 0 another request holds this key}
local function reserve()
  local key, id, hash = idempotency_key(arg()), arg(), arg()
  redis.call('SET', key, id .. hash, 'NX', 'PX', LIMIT.IDEMPOTENCY_MS)
  local held = redis.call('GET', key)
  return {string.sub(held, 1, #id), string.sub(held, #id + 1) == hash and 1 or 0}
end
