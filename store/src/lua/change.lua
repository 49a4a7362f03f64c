-- change: pause or resume a study, set its limits; '-' leaves a thing as it is, '' takes a limit away.
-- Raising max_trials reopens a completed study. Lowering it takes the last trials back, as far as they never started: they were never tried, and
-- come again, the same ones, when it is raised. Other waiting trials beyond it are cancelled. Both in a bounded number a call.
-- KEYS the queue
-- ARGV time, study, paused (1 | 0 | -), max_trials, max_parallel
-- OUT  {missing}, {closed, state}, or {ok, 1 trials are left to take back or cancel (call again) | 0, study_row}
local function take_back_beyond(s, max_trials)
  local left = LIMIT.sweep
  while s.next > max_trials and left > 0 do
    local t = load_trial(s, s.next - 1)
    if t.state ~= 'queued' or t.attempt > 0 then break end
    redis.call('ZREM', of(s.id, 'queued'), t.n)
    redis.call('RPOP', of(s.id, 'trials'))
    s.queued, s.next, s.exhausted, left = s.queued - 1, s.next - 1, 0, left - 1
  end
  return LIMIT.sweep - left
end

local function cancel_beyond(s, max_trials)
  local numbers = redis.call('ZRANGE', of(s.id, 'queued'), max_trials, '+inf', 'BYSCORE', 'LIMIT', 0, LIMIT.sweep)
  for _, n in ipairs(redis.call('ZRANGE', of(s.id, 'delayed'), 0, -1)) do
    if tonumber(n) >= max_trials and #numbers < LIMIT.sweep then numbers[#numbers + 1] = n end
  end
  for _, n in ipairs(numbers) do
    local t = load_trial(s, n)
    move(s, t, 'cancelled')
    save_trial(s, t)
  end
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
    if swept < LIMIT.sweep then swept = cancel_beyond(s, s.max_trials) end
  end
  save(s)
  return {'ok', swept >= LIMIT.sweep and 1 or 0, study_row(s.id)}
end
