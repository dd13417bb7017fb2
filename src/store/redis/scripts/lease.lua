#!lua
-- Takes or renews a lease. KEYS: lease, token. ARGV: holder, TTL in ms.
-- Returns the fencing token, or false when another holder has it. A new holder's token is higher than all before, and
-- at least the time in ms: so it is higher even if a failover lost the last ones.
local call = redis.call
local holder = call('GET', KEYS[1])
if holder == ARGV[1] then
  call('PEXPIRE', KEYS[1], ARGV[2])
  return call('GET', KEYS[2])
end
if holder then return false end
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local token = string.format('%.0f', math.max(tonumber(call('GET', KEYS[2]) or 0) + 1, now))
call('SET', KEYS[2], token)
call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return token
