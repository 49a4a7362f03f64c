-- trials: rows by number, each with its metrics, attempts and error.
-- KEYS the queue
-- ARGV time, study, n numbers
-- OUT  'missing', or a trial_row for each
local function trials()
  local s = load_study(arg())
  if not s then return 'missing' end
  local width, out = curve_width(s), {}
  for _, n in ipairs(list()) do
    local t = load_trial(s, n)
    if t then out[#out + 1] = trial_row(s, t, width) end
  end
  return out
end
