-- Part of the scripts that answer with trials: all that is stored of one.
-- {number, state, point, value (f64 big endian, '' none), epoch, best epoch, attempt, nonce, failures, stalls, cancel requested 0 | 1,
--  error kind LF message ('' none), curve entry at the best epoch (at the last, without one),
--  attempts: {{attempt, trainer, numerics, started ms, ended ms (-1 running), end}, …}}
local function curve_entry(curve, width, epoch)
  if not curve then return '' end
  for from = #curve - width + 1, 1, -width do
    local entry = string.sub(curve, from, from + width - 1)
    if epoch == 0 or struct.unpack('<I4', entry) == epoch then return entry end
  end
  return ''
end

local function attempt_row(s, attempt, index, started, ended, how)
  local trainer, numerics = who_is(s, index)
  return {attempt, trainer, numerics, s.created + started, how == '' and -1 or s.created + started + ended, how}
end

local function attempt_rows(s, t)
  local rows = {}
  local earlier = earlier_attempts(s, t)
  for i, a in ipairs(earlier) do rows[i] = attempt_row(s, a[1], a[2], a[3], a[4], a[5]) end
  -- The last attempt stays in the row while it runs and when it ended the trial.
  if t.attempt > 0 and not (earlier[1] and earlier[#earlier][1] == t.attempt) then
    local how = is_terminal(t) and t.state or ''
    rows[#rows + 1] = attempt_row(s, t.attempt, t.who, t.started, t.ended, how)
  end
  return rows
end

-- `width` is that of a curve's entry, see curve_width.
local function trial_row(s, t, width)
  local entry = curve_entry(redis.call('HGET', curves_key(s.id), t.n), width, t.best_epoch)
  return {t.n, t.state, t.point, t.value, t.epoch, t.best_epoch, t.attempt, t.nonce, t.failures, t.stalls,
    t.cancel_requested and 1 or 0, get_error(s, t), entry, attempt_rows(s, t)}
end
