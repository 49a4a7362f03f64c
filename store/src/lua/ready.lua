-- ready: asks whether this server accepts changes: the queue's clock moves, as with every script that writes. Unlike the scripts that let work
-- finish, it is refused when memory is full, as new studies and trials are.
-- KEYS the queue
-- ARGV time
-- OUT  1
local function ready()
  return 1
end
