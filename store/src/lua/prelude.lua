-- Shared by every script, before its own part: time, arguments, how a study and a trial are stored, and the two functions that keep the
-- invariants: `move` (a trial changes its state) and `save` (a study's place in the ring, its wish for trials, the totals and its end follow
-- from its counters). The keys come from keys.rs; LIMIT, KIND and the lists of states from script.rs.
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

local CODE = {}
for code, state in ipairs(STATES) do CODE[state] = code end
local function is_terminal(t) return TERMINAL[t.state] == true end

-- ---- the study: a hash; `load_study` reads what the state machine needs, `save` writes back what changed ----

local TEXTS = {state = true, stop = true, class = true, dataset_hash = true, dataset_id = true, best_value = true}
local FIELDS = {'state', 'stop', 'class', 'dataset_hash', 'dataset_id', 'best_value', 'weight', 'sign', 'created', 'max_trials', 'max_parallel',
  'max_failures', 'max_stalls', 'backoff_ms', 'max_failures_in_a_row', 'next', 'seq', 'failures_in_a_row', 'vt', 'cost', 'exhausted', 'best'}
for _, state in ipairs(STATES) do FIELDS[#FIELDS + 1] = state end

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

-- The names of the totals that follow the studies; what stands between colons is a label of the metric.
local function studies_total(state) return 'study:' .. state end
local function trials_total(s, state) return 'trial:' .. s.class .. ':' .. state end

local function event(s, n, state)
  redis.call('XADD', events_key(s.id), 'MAXLEN', '~', LIMIT.EVENTS_KEPT, '*', 'n', n, 's', state)
end

local function is_closed(s) return s.state == 'cancelled' or s.state == 'failed' end

local function trials_in(s, states)
  local sum = 0
  for _, state in ipairs(states) do sum = sum + s[state] end
  return sum
end

-- How many trials may wait, so that no slot that could run one is idle.
local function ahead(s) return (s.max_parallel or math.max(1, SLOTS)) + LIMIT.QUEUE_AHEAD end

local function missing(s)
  if s.state ~= 'running' or s.exhausted == 1 then return 0 end
  local free = ahead(s) - trials_in(s, WAITING)
  return math.max(0, s.max_trials and math.min(free, s.max_trials - s.next) or free)
end

-- A queue that is still three quarters full wants nothing, so that suggestions are made in batches and not one with each finish.
local function wants(s)
  if trials_in(s, WAITING) * 4 > ahead(s) * 3 then return 0 end
  return missing(s)
end

local function wake(class)
  redis.call('LPUSH', wake_key(class), 1)
  redis.call('LTRIM', wake_key(class), 0, LIMIT.WAKE_TOKENS_MAX - 1)
end

local function place_in_ring(s)
  local score = redis.call('ZSCORE', ring(s.class), s.id)
  if s.state == 'running' and s.queued > 0 and s.running < (s.max_parallel or math.huge) then
    -- A study that had nothing to run has not saved up time: it starts at the queue's virtual time.
    if not score then s.vt = math.max(s.vt, QUEUE_VT) end
    redis.call('ZADD', ring(s.class), s.vt, s.id)
    if not score or s.queued > s.was.queued then wake(s.class) end
  elseif score then
    redis.call('ZREM', ring(s.class), s.id)
  end
end

local function save(s)
  if (s.state == 'running' or s.state == 'paused') and trials_in(s, OPEN) == 0 then
    if s.exhausted == 1 then s.state, s.stop = 'completed', 'space_exhausted'
    elseif s.max_trials and s.next >= s.max_trials then s.state, s.stop = 'completed', 'max_trials' end
  end
  place_in_ring(s)
  redis.call(wants(s) > 0 and 'SADD' or 'SREM', WANTED, s.id)
  redis.call(is_closed(s) and trials_in(s, WAITING) > 0 and 'SADD' or 'SREM', CLOSING, s.id)
  if s.state ~= s.was.state then
    if s.was.state then count(studies_total(s.was.state), -1) end
    count(studies_total(s.state))
    event(s, '', s.state)
  end
  for _, state in ipairs(STATES) do
    local change = s[state] - (s.was[state] or 0)
    if change ~= 0 then count(trials_total(s, state), change) end
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

-- ---- the trial: a packed row, trial n's at index n of a list: that costs some three bytes a row, a field of a hash costs seventy ----
-- A list is walked from its nearer end, node by node: what is queued or runs is near, the middle of a million rows is 35 µs away.
-- The state is stored as its position in STATES, `value` as a big-endian double or ''; times are ms since the study was created, `ended`
-- since `started`. `alone`: nothing else may run on its device meanwhile. `settled`: the end of the last nonce was taken.
-- `is_clear` is not stored: the trial has no checkpoints and cannot have any.

local COLUMNS = {'state', 'attempt', 'failures', 'stalls', 'nonce', 'value', 'epoch', 'best_epoch', 'seq', 'started', 'ended', 'who', 'charge',
  'alone', 'cancel_requested', 'settled', 'point'}

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
  return n < s.next and unpack_trial(n, redis.call('LINDEX', trials_key(s.id), n)) or nil
end

local function save_trial(s, t) redis.call('LSET', trials_key(s.id), t.n, pack_trial(t)) end

local function double(value) return struct.unpack('>d', value) end

-- The trainers of a study's attempts are stored once: each pair of trainer and numerics class has a small number.
local function who(s, trainer, numerics)
  local key, pair = who_key(s.id), trainer .. '\n' .. numerics
  local index = redis.call('HGET', key, pair)
  if not index then
    index = redis.call('HLEN', key) / 2 + 1
    redis.call('HSET', key, pair, index, '#' .. index, pair)
  end
  return tonumber(index)
end

local function who_is(s, index)
  local pair = redis.call('HGET', who_key(s.id), '#' .. index) or '\n'
  return string.match(pair, '^(.*)\n(.*)$')
end

-- A study has a sorted set for each open state: queued trials by number, so that one that comes back keeps its place, delayed ones by the time
-- they are ready, running ones by deadline. The queue has, for each study, a lower bound of the earliest of these times, so that no call
-- looks through all studies.
local function place(s, t, score)
  redis.call('ZADD', state_key(s.id, t.state), t.state == 'queued' and t.n or score, t.n)
  if t.state == 'delayed' then redis.call('ZADD', DELAYED, 'LT', score, s.id) end
  if t.state == 'running' then redis.call('ZADD', LEASES, 'LT', score, s.id) end
end

-- A trainer may have left checkpoints, unless it says otherwise when the trial ends. They are handed out to be removed once nobody can write more.
local function leave_over(id, n) redis.call('ZADD', LEFTOVERS, NOW + LIMIT.LEFTOVER_MS, id .. ':' .. n) end

-- A trainer that has lost its trial may have written checkpoints after they were removed. Those of an open trial are removed when it ends.
local function leave_late(id, n, t)
  if not t or is_terminal(t) then leave_over(id, n) end
end

local function move(s, t, to, score)
  redis.call('ZREM', state_key(s.id, t.state), t.n)
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

local function move_numbers(s, numbers, to)
  for _, n in ipairs(numbers) do
    local t = load_trial(s, n)
    move(s, t, to)
    save_trial(s, t)
  end
end

local function earlier_attempts(s, t)
  local packed = redis.call('HGET', side_key(s.id), 'a' .. t.n)
  return packed and cmsgpack.unpack(packed) or {}
end

local function save_attempts(s, t, attempts)
  if #attempts == 0 then return redis.call('HDEL', side_key(s.id), 'a' .. t.n) end
  redis.call('HSET', side_key(s.id), 'a' .. t.n, cmsgpack.pack(attempts))
end

-- Settles the account of the attempt that ends: the study is charged for what was served instead of what was assumed at the claim.
local function settle(s, t)
  t.ended = math.max(0, NOW - s.created - t.started)
  s.vt = s.vt + (t.ended - t.charge) / s.weight
  s.cost = s.cost and math.floor(s.cost * 0.8 + t.ended * 0.2) or t.ended
end

-- Notes an attempt that did not end its trial; the attempt that does stays in the trial's row.
local function leave(s, t, how)
  local attempts = earlier_attempts(s, t)
  local last = attempts[#attempts]
  if last and last[1] == t.attempt then last[5] = how
  else attempts[#attempts + 1] = {t.attempt, t.who, t.started, t.ended, how} end
  while #attempts > LIMIT.ATTEMPTS_KEPT do table.remove(attempts, 1) end
  save_attempts(s, t, attempts)
end

-- The bytes of a curve's entry for one epoch.
local function curve_width(s) return 4 + 4 * #cjson.decode(redis.call('HGET', study_key(s.id), 'metrics')) end

local function set_error(s, t, kind, message)
  redis.call('HSET', side_key(s.id), 'e' .. t.n, kind .. '\n' .. message)
end

local function get_error(s, t) return redis.call('HGET', side_key(s.id), 'e' .. t.n) or '' end

-- The members of a sorted set whose time has come, the most overdue first.
local function due(key, max) return redis.call('ZRANGE', key, '-inf', NOW, 'BYSCORE', 'LIMIT', 0, max) end

-- Does the work of each study that is due in an index of the queue, whose bound then follows the study's own set of that state.
local function each_due(index, state, work)
  for _, id in ipairs(due(index, LIMIT.DUE_BATCH)) do
    local s = load_study(id)
    if s then
      work(s)
      local first = redis.call('ZRANGE', state_key(id, state), 0, 0, 'WITHSCORES')
      if first[1] then redis.call('ZADD', index, first[2], id) else redis.call('ZREM', index, id) end
      save(s)
    else
      redis.call('ZREM', index, id)
    end
  end
end

-- Queues the delayed trials whose time has come.
local function queue_due()
  each_due(DELAYED, 'delayed', function(s)
    move_numbers(s, due(state_key(s.id, 'delayed'), LIMIT.DUE_BATCH), is_closed(s) and 'cancelled' or 'queued')
  end)
end

-- Cancels what waits in a closed study, a bounded number a call; `save` keeps the study in CLOSING while some are left.
local function sweep(s)
  local left = LIMIT.SWEEP_BATCH
  for _, state in ipairs(WAITING) do
    local numbers = left > 0 and redis.call('ZRANGE', state_key(s.id, state), 0, left - 1) or {}
    move_numbers(s, numbers, 'cancelled')
    left = left - #numbers
  end
end

local function close(s, state, stop)
  s.state, s.stop = state, stop
  sweep(s)
end

-- Counts a failed trial among those in a row that end its study, as KIND (script.rs) says of its error.
local function fail_study_after(s, kind)
  local in_a_row = KIND[kind].in_a_row
  if in_a_row == 'resets' then s.failures_in_a_row = 0 end
  if in_a_row ~= 'counts' then return end
  s.failures_in_a_row = s.failures_in_a_row + 1
  local is_over = s.max_failures_in_a_row > 0 and s.failures_in_a_row >= s.max_failures_in_a_row
  if is_over and not is_closed(s) then close(s, 'failed', 'failures_in_a_row') end
end

local function forget_trainer(id)
  local slots = tonumber(redis.call('HGET', trainer_key(id), 'slots') or 0)
  if slots ~= 0 then redis.call('HINCRBY', QUEUE, 'slots', -slots) end
  redis.call('UNLINK', trainer_key(id))
  redis.call('ZREM', TRAINERS, id)
end
