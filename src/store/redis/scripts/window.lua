#!lua
-- Counts a member into a window. KEYS: window. ARGV: member, now in ms, window in ms. Returns the number of members.
local call = redis.call
local from = tonumber(ARGV[2]) - tonumber(ARGV[3])
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', from - tonumber(ARGV[3]))
call('ZADD', KEYS[1], ARGV[2], ARGV[1])
call('PEXPIRE', KEYS[1], ARGV[3])
return call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', from), ARGV[2])
