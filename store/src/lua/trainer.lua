-- trainer: a trainer's heartbeat, or its farewell.
-- KEYS the queue
-- ARGV time, id, slots ('' to forget it), info (JSON)
-- OUT  1
local function trainer()
  local id, slots, info = arg(), num(), arg()
  if not slots then
    forget_trainer(id)
    return 1
  end
  local before = tonumber(redis.call('HGET', trainer_key(id), 'slots') or 0)
  if slots ~= before then redis.call('HINCRBY', QUEUE, 'slots', slots - before) end
  redis.call('HSET', trainer_key(id), 'slots', slots, 'info', info)
  redis.call('ZADD', TRAINERS, NOW, id)
  return 1
end
