-- audit: checks the invariants of the queue against what is stored; for tests.
-- KEYS the queue
-- ARGV time
-- OUT  a line for each violation
local function audit()
  local wrong, totals = {}, {}
  local function expect(ok, ...) if not ok then wrong[#wrong + 1] = table.concat({...}, ' ') end end
  local function tally(what, by) totals[what] = (totals[what] or 0) + by end
  for _, id in ipairs(redis.call('ZRANGE', STUDIES, 0, -1)) do
    local s = load_study(id)
    expect(s, 'the index holds a study that is not there:', id)
    local seen, places = {}, {}
    for _, state in ipairs(STATES) do seen[state] = 0 end
    for _, state in ipairs(OPEN) do
      for _, n in ipairs(redis.call('ZRANGE', state_key(id, state), 0, -1)) do
        expect(not places[n], '2: trial', n, 'is', state, 'and', places[n] or '')
        places[n] = state
      end
    end
    local rows, in_order = redis.call('LRANGE', trials_key(id), 0, -1), {}
    for i, row in ipairs(rows) do
      local t = unpack_trial(i - 1, row)
      local place = places[tostring(t.n)] or 'none'
      seen[t.state] = seen[t.state] + 1
      expect(place == (is_terminal(t) and 'none' or t.state), '2, 3: trial', t.n, 'says', t.state, 'but lies in', place)
      expect(t.failures <= s.max_failures + 1, '9: trial', t.n, 'has failures', t.failures)
      expect(t.stalls <= s.max_stalls + 1, '9: trial', t.n, 'has stalls', t.stalls)
      expect(is_terminal(t) == (t.seq > 0), 'trial', t.n, 'has finish sequence', t.seq, 'in state', t.state)
      if is_terminal(t) then
        expect(not in_order[t.seq], 'finish sequence', t.seq, 'twice')
        in_order[t.seq] = true
      end
      local last, width = 0, curve_width(s)
      local curve = redis.call('HGET', curves_key(id), t.n) or ''
      expect(#curve % width == 0, 'the curve of trial', t.n, 'has', #curve, 'bytes')
      for from = 1, #curve - width + 1, width do
        local epoch = struct.unpack('<I4', curve, from)
        expect(epoch > last, '11: trial', t.n, 'has epoch', epoch, 'after', last)
        last = epoch
      end
      expect(last == t.epoch, '11: trial', t.n, 'says epoch', t.epoch, 'its curve', last)
    end
    expect(#rows == s.next, '1: study', id, 'has', #rows, 'trials, next number', s.next)
    for _, state in ipairs(STATES) do
      expect(seen[state] == s[state], '1: study', id, 'counts', s[state], state, 'stored are', seen[state])
      tally(trials_total(s, state), s[state])
    end
    expect(redis.call('ZCARD', best_key(id)) == math.min(s.completed, LIMIT.BEST_KEPT), 'study', id, 'keeps too many or too few of its best')
    tally(studies_total(s.state), 1)
    local ringed = redis.call('ZSCORE', ring(s.class), id)
    expect((ringed ~= false) == (s.state == 'running' and s.queued > 0 and s.running < (s.max_parallel or math.huge)), '4: study', id, 'ring')
    expect(not ringed or tonumber(ringed) == s.vt, '4: study', id, 'stands at', ringed or '', 'its virtual time is', s.vt)
    expect(redis.call('SISMEMBER', WANTED, id) == 0 or s.state == 'running', 'study', id, 'is', s.state, 'and wanted')
    expect(s.state ~= 'completed' or trials_in(s, OPEN) == 0, 'study', id, 'is completed with open trials')
    expect(not is_closed(s) or trials_in(s, WAITING) == 0 or redis.call('SISMEMBER', CLOSING, id) == 1, 'study', id, 'is closed and not swept')
    for index, state in pairs({[LEASES] = 'running', [DELAYED] = 'delayed'}) do
      local first = redis.call('ZRANGE', state_key(id, state), 0, 0, 'WITHSCORES')
      local bound = redis.call('ZSCORE', index, id)
      expect(not first[2] or (bound and tonumber(bound) <= tonumber(first[2])), '3: study', id, 'has', state, 'trials the queue does not know')
    end
  end
  for _, chore in ipairs(redis.call('ZRANGE', LEFTOVERS, 0, -1)) do
    local id, n = string.match(chore, '^(.*):(.*)$')
    local s = load_study(id)
    expect(not s or is_terminal(load_trial(s, n)), 'trial', n, 'of study', id, 'is open and to be cleared')
  end
  local stored = redis.call('HGETALL', TOTALS)
  for i = 1, #stored, 2 do
    if string.find(stored[i], ':', 1, true) then
      expect(tonumber(stored[i + 1]) == (totals[stored[i]] or 0), '1: the queue counts', stored[i + 1], stored[i], 'stored are', totals[stored[i]] or 0)
      totals[stored[i]] = nil
    end
  end
  for what, n in pairs(totals) do expect(n == 0, '1: the queue does not count', n, what) end
  return wrong
end
