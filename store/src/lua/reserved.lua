-- reserved: the study id that an idempotency key stands for, if it was used.
-- KEYS the queue
-- ARGV time, key, the length of an id, request hash
-- OUT  {} the key is new, or {study id, 1 the request is the same | 0 another request holds this key}
local function reserved()
  local held, id_bytes, hash = redis.call('GET', idempotency_key(arg())), num(), arg()
  if not held then return {} end
  return {string.sub(held, 1, id_bytes), string.sub(held, id_bytes + 1) == hash and 1 or 0}
end
