#!lua flags=no-writes
-- KEYS: sessions. ARGV: the version that the caller knows of each, or nothing.
-- Answers for each: nil when it is missing, {access} when the version is known, {'pending', origin}
-- when it is on its way here from another partition, else its columns.

local answers = {}
for i, session in ipairs(KEYS) do
  local version, access, origin =
    unpack(redis.call('HMGET', session, 'version', 'access', 'pending'))
  if origin then
    answers[i] = {'pending', origin}
  elseif not version then
    answers[i] = false
  elseif version == ARGV[i] then
    answers[i] = {access}
  else
    answers[i] = redis.call('HMGET', session, 'version', 'created', 'access', 'idle', 'slack',
      'deadline', 'principal', 'origin', 'node', 'map')
  end
end
return answers
