#!lua
-- KEYS: the expiry indexes of partitions. ARGV: now, and the most sessions to claim.
-- Deletes sessions that have expired, and tells whoever listens; answers {member, columns…} for each.

local claimed, changed, left = {}, {}, tonumber(ARGV[2])
for _, index in ipairs(KEYS) do
  local partition = string.sub(index, 1, -(1 + #'expiry'))
  local due = {}
  if left > 0 then
    due = redis.call('ZRANGEBYSCORE', index, '-inf', ARGV[1], 'LIMIT', 0, left)
  end
  for _, member in ipairs(due) do
    local session = partition .. 's:' .. member
    local columns = redis.pcall('HMGET', session, 'version', 'created', 'access', 'idle', 'slack',
      'deadline', 'principal', 'origin', 'node', 'map')
    -- A key that holds something else than a hash must not hold up the others.
    if columns.err and not string.find(columns.err, 'WRONGTYPE', 1, true) then
      return columns
    elseif columns.err then
      columns = {false, false, false, false, false, false, false, false, false, false}
    end
    local principal = columns[7]
    if principal and principal ~= '' then
      redis.call('SREM', partition .. 'principal:' .. principal, member)
    end
    redis.call('ZREM', index, member)
    -- A session that was deleted behind our back is nobody's to claim.
    if redis.call('DEL', session) == 1 then
      claimed[#claimed + 1] = {member, unpack(columns)}
      changed[#changed + 1] = member
      local origin = columns[8]
      if origin and origin ~= '' then
        local id = string.gsub((string.gsub(origin, '%%', '%%25')), '|', '%%7C')
        changed[#changed + 1] = string.match(member, '^(.*|)') .. id
      end
      left = left - 1
    end
  end
end
if #changed > 0 then
  local prefix = string.match(KEYS[1], '^(.-){%d+}:')
  redis.pcall('PUBLISH', prefix .. 'notices', table.concat(changed, '\n'))
end
return claimed
