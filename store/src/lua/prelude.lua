-- Shared by every script, before its own part: time, arguments, the codec of a study and of a trial, and the two functions that keep the
-- invariants, `move` (a trial changes its place) and `save` (a study's ring, wanted set, totals and end follow from its counters).
-- KEYS[1] is the queue; every other key is made from it (keys.rs), so all share one hash tag.
-- ARGV[1] is the time in ms for tests, or '' for the server's; `arg`, `num` and `list` read the rest in order.

local queue = redis.call('HMGET', QUEUE, 'now', 'vt', 'slots', 'tick', 'grace')
local QUEUE_VT, SLOTS, TICK, GRACE = tonumber(queue[2]) or 0, tonumber(queue[3]) or 0, tonumber(queue[4]), tonumber(queue[5]) or 0

-- The server's clock made monotone: a step back would prolong leases, and no client's clock is ever compared.
local NOW = tonumber(ARGV[1])
if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
end
NOW = math.max(NOW, tonumber(queue[1]) or 0)

local cursor = 1
local function arg() cursor = cursor + 1; return ARGV[cursor] end
local function num() return tonumber(arg()) end
local function list()
  local items = {}
  for i = 1, num() do items[i] = arg() end
  return items
end

local OPEN = {'queued', 'delayed', 'running', 'paused'}
local STATES = {'queued', 'delayed', 'running', 'paused', 'completed', 'pruned', 'failed', 'cancelled'}
local CODE = {}
for code, state in ipairs(STATES) do CODE[state] = code end
local function is_terminal(t) return CODE[t.state] > 4 end

-- ---- the study: a hash; `load_study` reads what the state machine needs, `save` writes back what changed ----

local TEXTS = {state = true, stop = true, class = true, dataset_hash = true, dataset_id = true, best_value = true}
local FIELDS = {'state', 'stop', 'class', 'dataset_hash', 'dataset_id', 'best_value', 'weight', 'sign', 'created', 'max_trials', 'max_parallel',
  'max_failures', 'max_stalls', 'backoff_ms', 'row_max', 'next', 'seq', 'row', 'vt', 'cost', 'exhausted', 'best',
  'queued', 'delayed', 'running', 'paused', 'completed', 'pruned', 'failed', 'cancelled'}

local function load_study(id)
  local raw = redis.call('HMGET', study_key(id), unpack(FIELDS))
  if not raw[1] or raw[1] == 'deleted' then return nil end
  local s = {id = id, was = {}}
  for i, field in ipairs(FIELDS) do
    s[field] = TEXTS[field] and raw[i] or tonumber(raw[i] or '')
    s.was[field] = s[field]
  end
  return s
end

local function count(what, by) redis.call('HINCRBY', TOTALS, what, by or 1) end

local function event(s, n, state)
  redis.call('XADD', of(s.id, 'events'), 'MAXLEN', '~', LIMIT.events, '*', 'n', n, 's', state)
end

local function is_closed(s) return s.state == 'cancelled' or s.state == 'failed' end
local function open_count(s) return s.queued + s.delayed + s.running + s.paused end

-- How many trials may be queued ahead of the slots that could run them.
local function ahead(s) return (s.max_parallel or math.max(1, SLOTS)) + LIMIT.ahead end

local function missing(s)
  if s.state ~= 'running' or s.exhausted == 1 then return 0 end
  local free = ahead(s) - s.queued - s.delayed
  return math.max(0, s.max_trials and math.min(free, s.max_trials - s.next) or free)
end

-- A queue still three quarters full wants nothing: suggestions come in batches, not one a finish.
local function wants(s)
  if (s.queued + s.delayed) * 4 > ahead(s) * 3 then return 0 end
  return missing(s)
end

local function wake(class)
  redis.call('LPUSH', wake_key(class), 1)
  redis.call('LTRIM', wake_key(class), 0, LIMIT.wake - 1)
end

local function place_in_ring(s)
  local score = redis.call('ZSCORE', ring(s.class), s.id)
  if s.state == 'running' and s.queued > 0 and s.running < (s.max_parallel or math.huge) then
    -- Who had nothing to run may not save up time: it starts at the queue's virtual time.
    if not score then s.vt = math.max(s.vt, QUEUE_VT) end
    redis.call('ZADD', ring(s.class), s.vt, s.id)
    if not score or s.queued > s.was.queued then wake(s.class) end
  elseif score then
    redis.call('ZREM', ring(s.class), s.id)
  end
end

local function save(s)
  if (s.state == 'running' or s.state == 'paused') and open_count(s) == 0 then
    if s.exhausted == 1 then s.state, s.stop = 'completed', 'space_exhausted'
    elseif s.max_trials and s.next >= s.max_trials then s.state, s.stop = 'completed', 'max_trials' end
  end
  place_in_ring(s)
  redis.call(wants(s) > 0 and 'SADD' or 'SREM', WANTED, s.id)
  redis.call(is_closed(s) and s.queued + s.delayed + s.paused > 0 and 'SADD' or 'SREM', CLOSING, s.id)
  if s.state ~= s.was.state then
    if s.was.state then count('study:' .. s.was.state, -1) end
    count('study:' .. s.state)
    event(s, '', s.state)
  end
  for _, state in ipairs(STATES) do
    local change = s[state] - (s.was[state] or 0)
    if change ~= 0 then count('trial:' .. s.class .. ':' .. state, change) end
  end
  local changed = {}
  for _, field in ipairs(FIELDS) do
    if s[field] ~= s.was[field] then
      changed[#changed + 1] = field
      changed[#changed + 1] = s[field] or ''
      s.was[field] = s[field]
    end
  end
  if #changed > 0 then redis.call('HSET', study_key(s.id), unpack(changed)) end
end

-- ---- the trial: one packed row, trial n's at index n of a list: that costs some three bytes a row, a field of a hash costs seventy ----
-- A list is walked from its nearer end, node by node: what is queued or runs is near, the middle of a million rows is 35 µs away.
-- `value` is a big-endian double or ''; times are ms since the study was created, `ended` since `started`.
-- is_clear, which is not kept: there are no checkpoints, nor can there be
-- flags: a = runs alone on its device, c = cancel pending, d = the last nonce's end is settled, p = promoted (goes before new trials)

local COLUMNS = {'state', 'attempt', 'failures', 'stalls', 'nonce', 'value', 'step', 'best_step', 'seen', 'seq', 'started', 'ended', 'who',
  'charge', 'flags', 'rung', 'sv', 'point'}

local function unpack_trial(n, row)
  local t, values = {n = n}, cmsgpack.unpack(row)
  for i, column in ipairs(COLUMNS) do t[column] = values[i] end
  t.state = STATES[t.state]
  return t
end

local function pack_trial(t)
  local values = {}
  for i, column in ipairs(COLUMNS) do values[i] = t[column] end
  values[1] = CODE[t.state]
  return cmsgpack.pack(values)
end

local function load_trial(s, n)
  n = tonumber(n)
  return n < s.next and unpack_trial(n, redis.call('LINDEX', of(s.id, 'trials'), n)) or nil
end

local function save_trial(s, t) redis.call('LSET', of(s.id, 'trials'), t.n, pack_trial(t)) end

local function double(value) return struct.unpack('>d', value) end

local function has(t, flag) return string.find(t.flags, flag, 1, true) ~= nil end
local function flag(t, f) if not has(t, f) then t.flags = t.flags .. f end end
local function unflag(t, f) t.flags = string.gsub(t.flags, f, '') end

-- Who runs an attempt is kept once a study: the pair of trainer and numerics class by a small number.
local function who(s, trainer, numerics)
  local key, pair = of(s.id, 'who'), trainer .. '\n' .. numerics
  local index = redis.call('HGET', key, pair)
  if not index then
    index = redis.call('HLEN', key) / 2 + 1
    redis.call('HSET', key, pair, index, '#' .. index, pair)
  end
  return tonumber(index)
end

local function who_is(s, index)
  local pair = redis.call('HGET', of(s.id, 'who'), '#' .. index) or '\n'
  return string.match(pair, '^(.*)\n(.*)$')
end

-- Trials of a study wait and run in one sorted set a state: queued by order, delayed by ready-at, running by deadline, paused by rung.
-- The queue keeps, for each study, a lower bound of its earliest ready-at and deadline, so nobody scans all studies.
local function place(s, t, score)
  redis.call('ZADD', of(s.id, t.state), score, t.n)
  if t.state == 'delayed' then redis.call('ZADD', DELAYED, 'LT', score, s.id) end
  if t.state == 'running' then redis.call('ZADD', LEASES, 'LT', score, s.id) end
end

-- Whoever trained a trial may have left checkpoints, unless its trainer says otherwise as it ends. They are handed out once nobody can write more.
local function leave_over(id, n) redis.call('ZADD', LEFTOVERS, NOW + LIMIT.leftover_ms, id .. ':' .. n) end

-- Who has lost a trial may have written after what it left was removed. An open trial's end is still to come.
local function leave_late(id, n, t)
  if not t or is_terminal(t) then leave_over(id, n) end
end

local function move(s, t, to, score)
  redis.call('ZREM', of(s.id, t.state), t.n)
  s[t.state], s[to] = s[t.state] - 1, s[to] + 1
  t.state = to
  if is_terminal(t) then
    s.seq = s.seq + 1
    t.seq = s.seq
    if t.attempt > 0 and not t.is_clear then leave_over(s.id, t.n) end
  else
    place(s, t, score)
  end
  event(s, t.n, to)
end

-- A trial that comes back keeps its place; a promoted one goes first.
local function order(t) return has(t, 'p') and t.n - LIMIT.trials or t.n end

local function reindex(index, s, state)
  local first = redis.call('ZRANGE', of(s.id, state), 0, 0, 'WITHSCORES')
  if first[1] then redis.call('ZADD', index, first[2], s.id) else redis.call('ZREM', index, s.id) end
end

local function earlier_attempts(s, t)
  local packed = redis.call('HGET', of(s.id, 'side'), 'a' .. t.n)
  return packed and cmsgpack.unpack(packed) or {}
end

local function save_attempts(s, t, attempts)
  if #attempts == 0 then return redis.call('HDEL', of(s.id, 'side'), 'a' .. t.n) end
  redis.call('HSET', of(s.id, 'side'), 'a' .. t.n, cmsgpack.pack(attempts))
end

-- Ends the running attempt's account: what the study was charged at the claim is corrected to what was served, never to today's average.
local function settle(s, t)
  t.ended = math.max(0, NOW - s.created - t.started)
  s.vt = s.vt + (t.ended - t.charge) / s.weight
  s.cost = s.cost and math.floor(s.cost * 0.8 + t.ended * 0.2) or t.ended
end

-- Notes an attempt that did not end its trial; the one that does stays in the row.
local function leave(s, t, how)
  local attempts = earlier_attempts(s, t)
  local last = attempts[#attempts]
  if last and last[1] == t.attempt then last[5] = how
  else attempts[#attempts + 1] = {t.attempt, t.who, t.started, t.ended, how} end
  while #attempts > LIMIT.attempts do table.remove(attempts, 1) end
  save_attempts(s, t, attempts)
end

local function set_error(s, t, kind, message)
  redis.call('HSET', of(s.id, 'side'), 'e' .. t.n, kind .. '\n' .. message)
end

-- Delayed trials whose time has come are queued again, where they were.
local function promote_due()
  for _, id in ipairs(redis.call('ZRANGE', DELAYED, '-inf', NOW, 'BYSCORE', 'LIMIT', 0, LIMIT.due)) do
    local s = load_study(id)
    if s then
      for _, n in ipairs(redis.call('ZRANGE', of(id, 'delayed'), '-inf', NOW, 'BYSCORE', 'LIMIT', 0, LIMIT.due)) do
        local t = load_trial(s, n)
        move(s, t, is_closed(s) and 'cancelled' or 'queued', order(t))
        save_trial(s, t)
      end
      reindex(DELAYED, s, 'delayed')
      save(s)
    else
      redis.call('ZREM', DELAYED, id)
    end
  end
end

-- Cancels what waits in a closed study, a bounded number a call; `save` keeps the study in CLOSING while some are left.
local function sweep(s)
  local left = LIMIT.sweep
  for _, state in ipairs({'queued', 'delayed', 'paused'}) do
    for _, n in ipairs(left > 0 and redis.call('ZRANGE', of(s.id, state), 0, left - 1) or {}) do
      local t = load_trial(s, n)
      move(s, t, 'cancelled')
      save_trial(s, t)
      left = left - 1
    end
  end
end

local function close(s, state, stop)
  s.state, s.stop = state, stop
  sweep(s)
end

-- KIND (script.rs) says what a failed trial is to the row of failures that ends its study.
local function fail_study_after(s, kind)
  local is = KIND[kind].in_a_row
  if is == 'resets' then s.row = 0 end
  if is ~= 'counts' then return end
  s.row = s.row + 1
  if s.row_max > 0 and s.row >= s.row_max and not is_closed(s) then close(s, 'failed', 'failures_in_a_row') end
end

local function forget_trainer(id)
  local slots = tonumber(redis.call('HGET', trainer_key(id), 'slots') or 0)
  if slots ~= 0 then redis.call('HINCRBY', QUEUE, 'slots', -slots) end
  redis.call('UNLINK', trainer_key(id))
  redis.call('ZREM', TRAINERS, id)
end
