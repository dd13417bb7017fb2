#!lua
-- Raises a partition's fence. KEYS: fence. ARGV: token. Returns 1, or 0 if a higher one was raised before.
local fence = redis.call('GET', KEYS[1])
if fence and tonumber(fence) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
