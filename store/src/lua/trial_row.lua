-- Part of the scripts that answer with trials: all that is stored of one.
-- {number, state, point, spec version, value (f64 big endian, '' none), step, best step, attempt, nonce, failures, stalls,
--  cancel pending 0 | 1, seen, rung, error kind LF message ('' none), curve entry at the best step (at the last, without one),
--  attempts: {{attempt, trainer, numerics, started ms, ended ms (-1 running), end}, …}}
local function curve_entry(curve, width, step)
  if not curve then return '' end
  for from = #curve - width + 1, 1, -width do
    local entry = string.sub(curve, from, from + width - 1)
    if step == 0 or struct.unpack('<I4', entry) == step then return entry end
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
  local error = redis.call('HGET', of(s.id, 'side'), 'e' .. t.n) or ''
  local entry = curve_entry(redis.call('HGET', of(s.id, 'curves'), t.n), width, t.best_step)
  return {t.n, t.state, t.point, t.sv, t.value, t.step, t.best_step, t.attempt, t.nonce, t.failures, t.stalls,
    has(t, 'c') and 1 or 0, t.seen, t.rung, error, entry, attempt_rows(s, t)}
end

local function curve_width(s) return 4 + 4 * #cjson.decode(redis.call('HGET', study_key(s.id), 'metrics')) end
