-- report: heartbeat, curve and directive in one call. Steps strictly grow, so a replay adds nothing; an expired lease not yet reaped is renewed.
-- KEYS the queue
-- ARGV time, study, number, nonce, lease ms, n points (step u32 and values f32, little endian)
-- OUT  go_on | prune | pause | cancel | lost
local function report()
  local s, n, nonce, lease_ms, points = load_study(arg()), num(), arg(), num(), list()
  local t = s and load_trial(s, n)
  if not t or t.state ~= 'running' or t.nonce ~= nonce then
    count('lost')
    return 'lost'
  end
  -- Only the study's own sorted set: the queue's entry is a lower bound, and a deadline only moves later.
  redis.call('ZADD', of(s.id, 'running'), NOW + lease_ms, n)
  local curve, added = nil, {}
  for _, point in ipairs(points) do
    local step = struct.unpack('<I4', point)
    if step > t.step then
      t.step = step
      added[#added + 1] = point
    end
  end
  if #added > 0 then
    curve = redis.call('HGET', of(s.id, 'curves'), n) or ''
    redis.call('HSET', of(s.id, 'curves'), n, curve .. table.concat(added))
    save_trial(s, t)
  end
  return (has(t, 'c') or is_closed(s)) and 'cancel' or 'go_on'
end
