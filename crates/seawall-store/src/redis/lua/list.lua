#!lua flags=no-writes
-- KEYS: the indexes of one principal in the partitions. ARGV: now.
-- Answers {member, created, access, node, origin} for each of its sessions that has not expired.

local found = {}
for _, index in ipairs(KEYS) do
  local partition = string.match(index, '^(.-{%d+}:)')
  for _, member in ipairs(redis.call('SMEMBERS', index)) do
    local expiry = redis.call('ZSCORE', partition .. 'expiry', member)
    if expiry and tonumber(expiry) > tonumber(ARGV[1]) then
      local columns =
        redis.pcall('HMGET', partition .. 's:' .. member, 'created', 'access', 'node', 'origin')
      -- A key that holds something else than a hash must not keep the others from being listed.
      if columns.err and not string.find(columns.err, 'WRONGTYPE', 1, true) then
        return columns
      elseif columns.err then
        columns = {false, false, false, false}
      end
      found[#found + 1] = {member, unpack(columns)}
    end
  end
end
return found
