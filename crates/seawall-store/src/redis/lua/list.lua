#!lua flags=no-writes
-- KEYS: the indexes of one principal in the partitions. ARGV: now.
-- Answers {member, created, access, node, origin} for each of its sessions that has not expired.

local found = {}
for _, index in ipairs(KEYS) do
  local partition = string.match(index, '^(.-{%d+}:)')
  for _, member in ipairs(redis.call('SMEMBERS', index)) do
    local expiry = redis.call('ZSCORE', partition .. 'expiry', member)
    if expiry and tonumber(expiry) > tonumber(ARGV[1]) then
      found[#found + 1] = {member,
        unpack(redis.call('HMGET', partition .. 's:' .. member, 'created', 'access', 'node', 'origin'))}
    end
  end
end
return found
