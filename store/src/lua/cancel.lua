-- cancel: a trial that waits is cancelled now; of one that runs, the trainer is told with its next report.
-- KEYS the queue
-- ARGV time, study, number
-- OUT  its trial_row right after, 'no_study' or 'no_trial'
local function cancel()
  local s, n = load_study(arg()), num()
  if not s then return 'no_study' end
  local t = load_trial(s, n)
  if not t then return 'no_trial' end
  if is_terminal(t) then return trial_row(s, t, curve_width(s)) end
  if t.state == 'running' then
    t.cancel_requested = true
  else
    move(s, t, 'cancelled')
  end
  save_trial(s, t)
  save(s)
  return trial_row(s, t, curve_width(s))
end
