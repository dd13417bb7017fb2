#!lua
-- Raises a partition's fence. KEYS: fence. ARGV: token. Answers 1, or 0 when a higher one stands.
local fence = redis.call('GET', KEYS[1])
if fence and tonumber(fence) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
