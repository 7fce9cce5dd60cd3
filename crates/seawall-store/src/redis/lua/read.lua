#!lua flags=no-writes
-- KEYS: sessions. ARGV: the version that the caller knows of each, or nothing.
-- Answers for each: nil when it is missing, {access} when the version is known, {'pending', origin}
-- when it is on its way here from another partition, {} when the key holds something else than a
-- hash, else its columns.

local answers = {}
for i, session in ipairs(KEYS) do
  local state = redis.pcall('HMGET', session, 'version', 'access', 'pending')
  if state.err and not string.find(state.err, 'WRONGTYPE', 1, true) then
    return state
  end
  local version, access, origin = unpack(state)
  if state.err then
    answers[i] = {}
  elseif origin then
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
