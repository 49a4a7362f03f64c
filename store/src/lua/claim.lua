-- claim: leases up to k trials to a trainer, from the studies with the least virtual time. The same first nonce gets the same leases.
-- KEYS the queue
-- ARGV time, trainer, numerics class, lease ms, bytes of memory, n device classes, n ids of refused datasets, k nonces
-- OUT  a row for each lease: {study, number, attempt, nonce, point, alone 0 | 1, dataset hash, dataset id}
local function lease_row(s, t)
  return {s.id, t.n, t.attempt, t.nonce, t.point, t.alone and 1 or 0, s.dataset_hash, s.dataset_id}
end

-- Whether the trainer has the study's dataset and the memory for its smallest network.
local function is_fit(id, memory, refused)
  local needs = redis.call('HMGET', study_key(id), 'step_bytes', 'dataset_id')
  return tonumber(needs[1]) <= memory and not refused[needs[2]]
end

local function least_served(classes, memory, refused)
  local best, best_vt
  for _, class in ipairs(classes) do
    for i = 0, LIMIT.REFUSED_SCANNED_MAX do
      local entry = redis.call('ZRANGE', ring(class), i, i, 'WITHSCORES')
      local id, vt = entry[1], tonumber(entry[2])
      if not id or (best_vt and vt >= best_vt) then break end
      if is_fit(id, memory, refused) then
        best, best_vt = id, vt
        break
      end
    end
  end
  return best
end

local function take(s, nonce, trainer, numerics, lease_ms)
  local t = load_trial(s, redis.call('ZRANGE', state_key(s.id, 'queued'), 0, 0)[1])
  if t.attempt > 0 then
    local _, before = who_is(s, t.who)
    -- Another numerics class computes other bits, so that its curve must not continue this one.
    if before ~= numerics then
      redis.call('HDEL', curves_key(s.id), t.n)
      t.epoch, t.best_epoch, t.value = 0, 0, ''
    end
  end
  move(s, t, 'running', NOW + lease_ms)
  t.attempt, t.nonce, t.settled, t.who = t.attempt + 1, nonce, false, who(s, trainer, numerics)
  t.started, t.ended = NOW - s.created, 0
  QUEUE_VT = math.max(QUEUE_VT, s.vt)
  t.charge = s.cost or LIMIT.FIRST_CHARGE_MS
  s.vt = s.vt + t.charge / s.weight
  save_trial(s, t)
  save(s)
  return t
end

local function replay(claims)
  local leases = {}
  for _, c in ipairs(claims) do
    local s = load_study(c[1])
    local t = s and load_trial(s, c[2])
    if t and t.state == 'running' and t.nonce == c[3] then leases[#leases + 1] = lease_row(s, t) end
  end
  return leases
end

local function claim()
  local trainer, numerics, lease_ms, memory, classes, refused, nonces = arg(), arg(), num(), num(), list(), {}, nil
  for _, dataset in ipairs(list()) do refused[dataset] = true end
  nonces = list()
  local last = redis.call('HMGET', trainer_key(trainer), 'nonce', 'claims')
  if last[1] and last[1] == nonces[1] then return replay(cmsgpack.unpack(last[2])) end
  queue_due()
  local leases, claims = {}, {}
  for _, nonce in ipairs(nonces) do
    local id = least_served(classes, memory, refused)
    if not id then break end
    local s = load_study(id)
    local t = take(s, nonce, trainer, numerics, lease_ms)
    leases[#leases + 1] = lease_row(s, t)
    claims[#claims + 1] = {id, t.n, nonce}
    if t.alone then break end
  end
  if #leases == 0 then return leases end
  redis.call('HSET', QUEUE, 'vt', QUEUE_VT)
  redis.call('HSET', trainer_key(trainer), 'nonce', nonces[1], 'claims', cmsgpack.pack(claims))
  redis.call('ZADD', TRAINERS, NOW, trainer)
  count('claims', #leases)
  -- One token a claim: each trainer that wakes up wakes the next while work is left.
  for _, class in ipairs(classes) do
    if redis.call('EXISTS', ring(class)) == 1 then wake(class) end
  end
  return leases
end
