-- trainers: the connected trainers.
-- KEYS the queue
-- ARGV time
-- OUT  rows {info (JSON), last seen ms}
local function trainers()
  local out = {}
  local seen = redis.call('ZRANGE', TRAINERS, NOW - LIMIT.TRAINER_TTL_MS, '+inf', 'BYSCORE', 'WITHSCORES')
  for i = 1, #seen, 2 do
    local info = redis.call('HGET', trainer_key(seen[i]), 'info')
    if info then out[#out + 1] = {info, tonumber(seen[i + 1])} end
  end
  return out
end
