#!lua flags=no-writes
-- KEYS: sessions. ARGV: now; then for each session the key from which it moved there, or nothing.
-- Answers for each: 'here'; the key that it has moved to; {the key that it comes from} when it may
-- not have left that; or nil when it has ended or expired.

local now = tonumber(ARGV[1])

local function where(session, from)
  local version, pending, moved =
    unpack(redis.call('HMGET', session, 'version', 'pending', 'moved'))
  if version then
    local partition, member = string.match(session, '^(.-{%d+}:)s:(.*)$')
    local expiry = redis.call('ZSCORE', partition .. 'expiry', member)
    return expiry and tonumber(expiry) > now and 'here'
  elseif pending then
    return pending == from and 'here' or {pending}
  end
  return moved
end

local answers = {}
for i, session in ipairs(KEYS) do
  answers[i] = where(session, ARGV[i + 1])
end
return answers
