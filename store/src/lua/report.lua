-- report: heartbeat, curve and directive in one call. Epochs strictly grow, so that a replay adds nothing; an expired lease that was not yet
-- taken back is renewed.
-- KEYS the queue
-- ARGV time, study, number, nonce, lease ms, n epochs (number u32 and values f32, little endian)
-- OUT  go_on | cancel | lost
local function report()
  local s, n, nonce, lease_ms, epochs = load_study(arg()), num(), arg(), num(), list()
  local t = s and load_trial(s, n)
  if not t or t.state ~= 'running' or t.nonce ~= nonce then
    count('lost')
    return 'lost'
  end
  -- Only in the study's own sorted set: the queue's entry is a lower bound, and a deadline only moves later.
  redis.call('ZADD', state_key(s.id, 'running'), NOW + lease_ms, n)
  local added = {}
  for _, packed in ipairs(epochs) do
    local epoch = struct.unpack('<I4', packed)
    if epoch > t.epoch then
      t.epoch = epoch
      added[#added + 1] = packed
    end
  end
  if #added > 0 then
    local curve = redis.call('HGET', curves_key(s.id), n) or ''
    redis.call('HSET', curves_key(s.id), n, curve .. table.concat(added))
    save_trial(s, t)
  end
  return (t.cancel_requested or is_closed(s)) and 'cancel' or 'go_on'
end
