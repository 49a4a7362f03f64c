-- reap: what time alone must do. Expired leases are queued again with a stall counted, or failed, or cancelled; delayed trials come due;
-- closed studies are swept, deleted ones handed out to be purged and ended trials to be cleared (once in a lease, until someone does it), silent
-- trainers forgotten. Skipped when one just ran.
-- KEYS the queue
-- ARGV time, tick ms, lease ms
-- OUT  {1 ran | 0 skipped, leases expired, 1 an outage was noticed | 0, {study ids to purge …}, {study:number to clear …}}
local function expire(s)
  local numbers = redis.call('ZRANGE', of(s.id, 'running'), '-inf', NOW, 'BYSCORE', 'LIMIT', 0, LIMIT.sweep)
  for _, n in ipairs(numbers) do
    local t = load_trial(s, n)
    settle(s, t)
    t.stalls = t.stalls + 1
    if has(t, 'c') or is_closed(s) then
      move(s, t, 'cancelled')
    elseif t.stalls > s.max_stalls then
      set_error(s, t, 'stalled', 'the lease ran out ' .. t.stalls .. ' times without a sign of life')
      move(s, t, 'failed')
    else
      leave(s, t, 'stalled')
      move(s, t, 'queued', order(t))
    end
    save_trial(s, t)
    if t.state == 'failed' then fail_study_after(s, 'stalled') end
  end
  return #numbers
end

-- What is due in a sorted set of chores, which comes again after a lease where whoever is asked first does not do it.
local function hand_out(chores, lease_ms)
  local due = redis.call('ZRANGE', chores, '-inf', NOW, 'BYSCORE', 'LIMIT', 0, LIMIT.closing)
  for _, chore in ipairs(due) do redis.call('ZADD', chores, NOW + lease_ms, chore) end
  return due
end

local function reap()
  local tick_ms, lease_ms = num(), num()
  if TICK and NOW - TICK < tick_ms / 2 then return {0, 0, 0, {}, {}} end
  redis.call('HSET', QUEUE, 'tick', NOW)
  -- Nobody ticked for so long: Redis was down or paused, so nobody could send a heartbeat either, and nothing is counted for a lease.
  local outage = TICK and NOW - TICK > lease_ms / 2
  if outage then
    GRACE = NOW + lease_ms
    redis.call('HSET', QUEUE, 'grace', GRACE)
    count('outages')
  end
  local stalled = 0
  if NOW >= GRACE then
    for _, id in ipairs(redis.call('ZRANGE', LEASES, '-inf', NOW, 'BYSCORE', 'LIMIT', 0, LIMIT.due)) do
      local s = load_study(id)
      if s then
        stalled = stalled + expire(s)
        reindex(LEASES, s, 'running')
        save(s)
      else
        redis.call('ZREM', LEASES, id)
      end
    end
    if stalled > 0 then count('stalls', stalled) end
    for _, trainer in ipairs(redis.call('ZRANGE', TRAINERS, '-inf', NOW - LIMIT.trainer_ttl_ms, 'BYSCORE', 'LIMIT', 0, LIMIT.due)) do
      forget_trainer(trainer)
    end
  end
  promote_due()
  for _, id in ipairs(redis.call('SRANDMEMBER', CLOSING, LIMIT.closing)) do
    local s = load_study(id)
    if s then
      sweep(s)
      save(s)
    else
      redis.call('SREM', CLOSING, id)
    end
  end
  return {1, stalled, outage and 1 or 0, hand_out(DELETED, lease_ms), hand_out(LEFTOVERS, lease_ms)}
end
