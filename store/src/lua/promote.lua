-- promote: a paused trial to its next rung, compare-and-set on the rung; it is queued before new trials.
-- KEYS the queue
-- ARGV time, study, number, rung it is paused at
-- OUT  1 promoted (or already was), 0 not paused at that rung
local function promote()
  local s, n, rung = load_study(arg()), num(), num()
  local t = s and load_trial(s, n)
  if not t or is_closed(s) then return 0 end
  if t.rung == rung + 1 then return 1 end
  if t.state ~= 'paused' or t.rung ~= rung then return 0 end
  t.rung = rung + 1
  flag(t, 'p')
  move(s, t, 'queued', order(t))
  save_trial(s, t)
  save(s)
  return 1
end
