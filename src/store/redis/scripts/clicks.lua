#!lua
-- Applies a batch of clicks to one partition, whole or not at all.
-- KEYS: cursors; the new visitors' moments; for each known visitor its later visits and its moment; affiliates' days.
-- ARGV: cursor field, from, to, visits TTL in ms, number of moments, number of known visitors, visit bytes,
--   most visits, most sub values; the bytes to append to each moment; each known visitor's further visits; then for
--   each day the number of plain counters, of sub counters, and field and count of each.
-- Returns 1, or the current cursor.
local call = redis.call
local at = call('HGET', KEYS[1], ARGV[1]) or string.rep('\0', 12)
if at ~= ARGV[2] then return at end
call('HSET', KEYS[1], ARGV[1], ARGV[3])

local ttl, moments, known = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
for i = 1, moments do
  call('APPEND', KEYS[1 + i], ARGV[9 + i])
  call('PEXPIRE', KEYS[1 + i], ttl)
end

-- A visit that comes twice is dropped by the reader, or here when there are twice as many as allowed.
local size = tonumber(ARGV[7])
local most = tonumber(ARGV[8]) * size
local function trim(visits)
  local seen, once = {}, {}
  for first = 1, #visits, size do
    local click = string.sub(visits, first, first + 15)
    if not seen[click] then
      seen[click] = true
      once[#once + 1] = string.sub(visits, first, first + size - 1)
    end
  end
  visits = table.concat(once)
  if #visits <= most then return visits end
  return string.sub(visits, 1, size) .. string.sub(visits, size - most)
end
for i = 1, known do
  local key = KEYS[moments + 2 * i]
  if call('APPEND', key, ARGV[9 + moments + i]) > 2 * most then
    call('SET', key, trim(call('GET', key)))
  end
  call('PEXPIRE', key, ttl)
  call('PEXPIRE', KEYS[1 + moments + 2 * i], ttl)
end

local arg = 10 + moments + known
for day = 2 + moments + 2 * known, #KEYS do
  local key, plain, subs = KEYS[day], tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
  arg = arg + 2
  for _ = 1, plain do
    call('HINCRBY', key, ARGV[arg], ARGV[arg + 1])
    arg = arg + 2
  end
  for _ = 1, subs do
    -- A sub counter is a digit and a value; `#` and the digit counts the values that are counted separately.
    local field = ARGV[arg]
    local digit = string.sub(field, 1, 1)
    if field ~= digit .. 'other' and call('HEXISTS', key, field) == 0 then
      if tonumber(call('HGET', key, '#' .. digit) or 0) < tonumber(ARGV[9]) then
        call('HINCRBY', key, '#' .. digit, 1)
      else
        field = digit .. 'other'
      end
    end
    call('HINCRBY', key, field, ARGV[arg + 1])
    arg = arg + 2
  end
end
return 1
