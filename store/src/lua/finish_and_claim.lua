-- finish_and_claim: one round trip for short trials; finish.lua, then claim.lua.
-- KEYS the queue
-- ARGV time, finish's arguments, claim's arguments
-- OUT  {finish's answer, claim's answer}
local function finish_and_claim()
  local ack = finish()
  return {ack, claim()}
end
