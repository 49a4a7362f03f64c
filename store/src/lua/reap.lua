-- reap: does what only the passing of time calls for. Trials whose lease has expired are queued again with a stall counted, or failed, or
-- cancelled; delayed trials are queued when they are ready; closed studies are swept, deleted ones handed out to be purged and ended trials to be
-- cleared (once in a lease, until a caller does it); silent trainers are forgotten. Skipped where a process has just done so.
-- KEYS the queue
-- ARGV time, tick ms, lease ms
-- OUT  {1 ran | 0 skipped, leases expired, 1 an outage was noticed | 0, {study ids to purge …}, {study:number to clear …}}
local function expire(s)
  local numbers = due(state_key(s.id, 'running'), LIMIT.SWEEP_BATCH)
  for _, n in ipairs(numbers) do
    local t = load_trial(s, n)
    settle(s, t)
    t.stalls = t.stalls + 1
    if t.cancel_requested or is_closed(s) then
      move(s, t, 'cancelled')
    elseif t.stalls > s.max_stalls then
      set_error(s, t, 'stalled', 'its trainers stopped answering ' .. t.stalls .. ' times')
      move(s, t, 'failed')
    else
      leave(s, t, 'stalled')
      move(s, t, 'queued')
    end
    save_trial(s, t)
    if t.state == 'failed' then fail_study_after(s, 'stalled') end
  end
  return #numbers
end

-- The chores of a sorted set that are due. A chore that its caller does not do is due again after a lease.
local function hand_out(chores, lease_ms)
  local handed_out = due(chores, LIMIT.CLOSING_BATCH)
  for _, chore in ipairs(handed_out) do redis.call('ZADD', chores, NOW + lease_ms, chore) end
  return handed_out
end

local function reap()
  local tick_ms, lease_ms = num(), num()
  if TICK and NOW - TICK < tick_ms / 2 then return {0, 0, 0, {}, {}} end
  redis.call('HSET', QUEUE, 'tick', NOW)
  -- Without a tick for that long, Redis was down or paused. No trainer could send a heartbeat, so that nothing is counted for a lease.
  local outage = TICK and NOW - TICK > lease_ms / 2
  if outage then
    GRACE = NOW + lease_ms
    redis.call('HSET', QUEUE, 'grace', GRACE)
    count('outages')
  end
  local stalled = 0
  if NOW >= GRACE then
    each_due(LEASES, 'running', function(s) stalled = stalled + expire(s) end)
    if stalled > 0 then count('stalls', stalled) end
    for _, trainer in ipairs(redis.call('ZRANGE', TRAINERS, '-inf', NOW - LIMIT.TRAINER_TTL_MS, 'BYSCORE', 'LIMIT', 0, LIMIT.DUE_BATCH)) do
      forget_trainer(trainer)
    end
  end
  queue_due()
  for _, id in ipairs(redis.call('SRANDMEMBER', CLOSING, LIMIT.CLOSING_BATCH)) do
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
