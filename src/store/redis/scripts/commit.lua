#!lua
-- Applies changes to one partition, whole or not at all.
-- KEYS: cursors, fence, documents, documents to remove, indexes, streams.
-- ARGV: cursor field or '', from, to, fencing token or '', number of documents, of documents to remove, of index changes, of
--   stream entries; then for each document the version that it must have ('': none) and its value with the new
--   version; the versions of those to remove; for each index change '1' (enters) or '0' (leaves) and the member; the
--   stream entries.
-- Returns {} (done), {'cursor', bytes}, {'fence', token} or {'stale'}.
local call = redis.call
if ARGV[1] ~= '' then
  local at = call('HGET', KEYS[1], ARGV[1]) or string.rep('\0', 12)
  if at ~= ARGV[2] then return {'cursor', at} end
end
if ARGV[4] ~= '' then
  local fence = call('GET', KEYS[2])
  if fence and tonumber(fence) > tonumber(ARGV[4]) then return {'fence', fence} end
end
local documents, gone = tonumber(ARGV[5]), tonumber(ARGV[6])
local indexes, entries = tonumber(ARGV[7]), tonumber(ARGV[8])
for i = 1, documents do
  if call('GETRANGE', KEYS[i + 2], 0, 7) ~= ARGV[7 + 2 * i] then return {'stale'} end
end
local key, arg = documents + 2, 8 + 2 * documents
for i = 1, gone do
  if call('GETRANGE', KEYS[key + i], 0, 7) ~= ARGV[arg + i] then return {'stale'} end
end

if ARGV[1] ~= '' then
  call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
for i = 1, documents do
  call('SET', KEYS[i + 2], ARGV[8 + 2 * i])
end
for i = 1, gone do
  call('DEL', KEYS[key + i])
end
key, arg = key + gone, arg + gone
for i = 1, indexes do
  if ARGV[arg + 2 * i - 1] == '1' then
    call('ZADD', KEYS[key + i], 0, ARGV[arg + 2 * i])
  else
    call('ZREM', KEYS[key + i], ARGV[arg + 2 * i])
  end
end
key, arg = key + indexes, arg + 2 * indexes
for i = 1, entries do
  call('XADD', KEYS[key + i], '*', 'b', ARGV[arg + i])
end
return {}
