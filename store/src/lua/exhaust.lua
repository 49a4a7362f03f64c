-- exhaust: notes that the sampler has no trial `number`; without open trials the study is completed.
-- KEYS the queue
-- ARGV time, study, number (must be the study's next)
-- OUT  1 noted, 0 not the next number or no such study
local function exhaust()
  local s, number = load_study(arg()), num()
  if not s or number ~= s.next then return 0 end
  s.exhausted = 1
  save(s)
  return 1
end
