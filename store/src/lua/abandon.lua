-- abandon: a trainer has lost a trial, and may have written checkpoints of it until it noticed.
-- KEYS the queue
-- ARGV time, study, number
-- OUT  1
local function abandon()
  local id, n = arg(), num()
  local s = load_study(id)
  leave_late(id, n, s and load_trial(s, n))
  return 1
end
