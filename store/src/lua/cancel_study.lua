-- cancel_study: closes it; what waits is cancelled, a bounded number a call, what runs is told with its next report.
-- KEYS the queue
-- ARGV time, study
-- OUT  {trials still waiting (call again while positive), study_row}, -1 no such study
local function cancel_study()
  local s = load_study(arg())
  if not s then return -1 end
  if s.state == 'completed' then return {0, study_row(s.id)} end
  if is_closed(s) then sweep(s) else close(s, 'cancelled', 'cancelled') end
  save(s)
  return {s.queued + s.delayed + s.paused, study_row(s.id)}
end
