-- cancel_study: closes a study. Its waiting trials are cancelled, a bounded number a call; the trainers of its running ones are told with their
-- next report.
-- KEYS the queue
-- ARGV time, study
-- OUT  {trials that still wait (call again while there are any), study_row}, -1 no such study
local function cancel_study()
  local s = load_study(arg())
  if not s then return -1 end
  if s.state == 'completed' then return {0, study_row(s.id)} end
  if is_closed(s) then sweep(s) else close(s, 'cancelled', 'cancelled') end
  save(s)
  return {trials_in(s, WAITING), study_row(s.id)}
end
