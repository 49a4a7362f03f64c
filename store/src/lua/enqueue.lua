-- enqueue: adds the trials first, first + 1, … to a study, if `first` is its next number. Without points it only says how many trials are
-- wanted: none from a queue that is still nearly full.
-- KEYS the queue
-- ARGV time, study, first, n points (packed)
-- OUT  {ok | taken | closed | full | missing, next number, trials wanted}
local function enqueue()
  local s = load_study(arg())
  if not s then return {'missing', 0, 0} end
  local first, points = num(), list()
  if #points == 0 then return {'ok', s.next, wants(s)} end
  if s.state ~= 'running' then return {'closed', s.next, 0} end
  if first ~= s.next then return {'taken', s.next, missing(s)} end
  if #points > missing(s) then return {'full', s.next, missing(s)} end
  for i, point in ipairs(points) do
    local t = {n = first + i - 1, state = 'queued', attempt = 0, failures = 0, stalls = 0, nonce = '', value = '', epoch = 0, best_epoch = 0,
      seq = 0, started = 0, ended = 0, who = 0, charge = 0, alone = false, cancel_requested = false, settled = false, point = point}
    redis.call('RPUSH', trials_key(s.id), pack_trial(t))
    place(s, t)
  end
  s.queued, s.next = s.queued + #points, s.next + #points
  save(s)
  return {'ok', s.next, missing(s)}
end
