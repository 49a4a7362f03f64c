-- change: pauses or resumes a study, sets its limits; '-' leaves one as it is, '' removes a limit.
-- Raising max_trials reopens a completed study. Lowering it takes back the last trials that never started: the same trials come again when it is
-- raised. Other waiting trials beyond it are cancelled. Both a bounded number a call.
-- KEYS the queue
-- ARGV time, study, paused (1 | 0 | -), max_trials, max_parallel
-- OUT  {missing}, {closed, state}, or {ok, 1 trials are left to be taken back or cancelled (call again) | 0, study_row}
local function take_back_beyond(s, max_trials)
  local left = LIMIT.SWEEP_BATCH
  while s.next > max_trials and left > 0 do
    local t = load_trial(s, s.next - 1)
    if t.state ~= 'queued' or t.attempt > 0 then break end
    redis.call('ZREM', state_key(s.id, 'queued'), t.n)
    redis.call('RPOP', trials_key(s.id))
    s.queued, s.next, s.exhausted, left = s.queued - 1, s.next - 1, 0, left - 1
  end
  return LIMIT.SWEEP_BATCH - left
end

local function cancel_beyond(s, max_trials)
  local numbers = redis.call('ZRANGE', state_key(s.id, 'queued'), max_trials, '+inf', 'BYSCORE', 'LIMIT', 0, LIMIT.SWEEP_BATCH)
  for _, n in ipairs(redis.call('ZRANGE', state_key(s.id, 'delayed'), 0, -1)) do
    if tonumber(n) >= max_trials and #numbers < LIMIT.SWEEP_BATCH then numbers[#numbers + 1] = n end
  end
  move_numbers(s, numbers, 'cancelled')
  return #numbers
end

local function change()
  local s, paused, max_trials, max_parallel = load_study(arg()), arg(), arg(), arg()
  if not s then return {'missing'} end
  if is_closed(s) then return {'closed', s.state} end
  if max_trials ~= '-' then s.max_trials = tonumber(max_trials) end
  if max_parallel ~= '-' then s.max_parallel = tonumber(max_parallel) end
  if s.state == 'completed' and s.exhausted ~= 1 and s.next < (s.max_trials or math.huge) then s.state, s.stop = 'running', '' end
  if s.state == 'completed' and paused == '1' then return {'closed', s.state} end
  if s.state ~= 'completed' and paused ~= '-' then s.state = paused == '1' and 'paused' or 'running' end
  local swept = 0
  if max_trials ~= '-' and s.max_trials then
    swept = take_back_beyond(s, s.max_trials)
    if swept < LIMIT.SWEEP_BATCH then swept = cancel_beyond(s, s.max_trials) end
  end
  save(s)
  return {'ok', swept >= LIMIT.SWEEP_BATCH and 1 or 0, study_row(s.id)}
end
