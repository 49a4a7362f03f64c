-- finish: ends an attempt. It counts while its nonce is the trial's last: running, or queued or delayed again after a stall.
-- KEYS the queue
-- ARGV time, study, number, nonce, end (completed | failed | cancelled | released), value (f64 big endian, '' none), best epoch, error kind,
--      error message, 1 others ran on its device | 0, 0 it has no checkpoints | 1 it may have some
-- OUT  {1 accepted (again for a replay) | 0 stale, trials wanted, 1 the trial has ended | 0 it is open, or this is stale}
local function rank(s, t)
  local score = s.sign * double(t.value)
  redis.call('ZADD', best_key(s.id), score, struct.pack('>I4', t.n))
  redis.call('ZREMRANGEBYRANK', best_key(s.id), LIMIT.BEST_KEPT, -1)
  -- The packed column has a score for each number, for pages beyond the best; eight zero bytes mean none, so that zero is stored as -0.
  redis.call('SETRANGE', values_key(s.id), t.n * 8, score == 0 and '\128\0\0\0\0\0\0\0' or struct.pack('>d', score))
  local best = s.best and s.sign * double(s.best_value)
  if not best or score < best or (score == best and t.n < s.best) then s.best, s.best_value = t.n, t.value end
end

local function accepted(s, t) return {1, wants(s), is_terminal(t) and 1 or 0} end

local function finish()
  local id, n, nonce, how, value, best_epoch = arg(), num(), arg(), arg(), arg(), num()
  local kind, message, beside, is_clear = arg(), arg(), arg() == '1', arg() == '0'
  local s = load_study(id)
  local t = s and load_trial(s, n)
  if not t or t.nonce ~= nonce or (is_terminal(t) and not t.settled) then
    count('stale')
    if not is_clear then leave_late(id, n, t) end
    return {0, 0, 0}
  end
  if t.settled then return accepted(s, t) end
  if t.state == 'running' then settle(s, t) end
  t.settled = true
  -- The trainer of an earlier attempt may still write.
  t.is_clear = is_clear and t.attempt == 1
  local to, score = how, nil
  local cancel = t.cancel_requested or is_closed(s)
  if how == 'completed' then
    t.value, t.best_epoch = value, best_epoch
    s.failures_in_a_row = 0
  elseif how == 'released' then
    if kind ~= '' then set_error(s, t, kind, message) end
    to = cancel and 'cancelled' or 'queued'
  elseif how == 'failed' then
    set_error(s, t, kind, message)
    if kind == 'out_of_memory' and beside and not t.alone then
      t.alone = true
      to = cancel and 'cancelled' or 'queued'
    elseif KIND[kind].is_tried_again then
      t.failures = t.failures + 1
      if cancel then to = 'cancelled'
      elseif t.failures <= s.max_failures then
        to, score = 'delayed', NOW + math.min(LIMIT.BACKOFF_MS_MAX, s.backoff_ms * 2 ^ (t.failures - 1))
        count('retries')
      end
    end
  end
  if to == t.state then place(s, t, score) else move(s, t, to, score) end
  if is_terminal(t) then
    local attempts = earlier_attempts(s, t)
    if #attempts > 0 and attempts[#attempts][1] == t.attempt then
      table.remove(attempts)
      save_attempts(s, t, attempts)
    end
    if to ~= 'failed' then redis.call('HDEL', side_key(s.id), 'e' .. n) end
    if to == 'completed' then rank(s, t) end
  else
    leave(s, t, how)
  end
  save_trial(s, t)
  if to == 'failed' then fail_study_after(s, kind) end
  save(s)
  return accepted(s, t)
end
