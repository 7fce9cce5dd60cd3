#!lua
-- KEYS: the session of each commit; a rename's is followed by the session's new key.
-- ARGV: for each commit its kind and
--   create: the columns in the order of COLUMNS;
--   rename, update: the expected version, then the columns;
--   touch: the access; delete: the origin, and 'moved' when a proof led here;
--   prepare, depart, confirm, conclude: see below.
-- Answers the outcome of each commit, in order: a word, or for a session that has moved its new key.
--
-- Numbers are milliseconds. They stay below 2^53, so Lua's floats hold them exactly; versions are
-- compared as text.

local COLUMNS = {'version', 'created', 'access', 'idle', 'slack', 'deadline', 'principal', 'origin',
  'node', 'map'}

local key_position, argument_position = 0, 0

local function next_key()
  key_position = key_position + 1
  return KEYS[key_position]
end

local function next_argument()
  argument_position = argument_position + 1
  return ARGV[argument_position]
end

local function next_row()
  local row = {}
  for _, column in ipairs(COLUMNS) do
    row[column] = next_argument()
  end
  return row
end

-- 'seawall:{7}:s:member' is member 'member' of the partition 'seawall:{7}:'.
local function split(session)
  return string.match(session, '^(.-{%d+}:)s:(.*)$')
end

-- What is no number counts as 0: a damaged row must not fail the others of its batch.
local function number(text)
  return tonumber(text) or 0
end

-- When the session expires, as a score; '' stands for a time that is not limited.
local function expiry(row)
  local expiry = math.huge
  if row.idle ~= '' then
    expiry = number(row.access) + number(row.idle) + number(row.slack)
  end
  if row.deadline ~= '' then
    expiry = math.min(expiry, number(row.deadline))
  end
  if expiry == math.huge then
    return '+inf'
  end
  return string.format('%.0f', expiry)
end

local function later(access, other)
  if number(access) > number(other) then
    return access
  end
  return other
end

local function write(session, row)
  local partition, member = split(session)
  local columns = {}
  for _, column in ipairs(COLUMNS) do
    columns[#columns + 1] = column
    columns[#columns + 1] = row[column]
  end
  redis.call('HSET', session, unpack(columns))
  redis.call('ZADD', partition .. 'expiry', expiry(row), member)
  if row.principal ~= '' then
    redis.call('SADD', partition .. 'principal:' .. row.principal, member)
  end
end

local function leave(session, principal)
  if principal and principal ~= '' then
    local partition, member = split(session)
    redis.call('SREM', partition .. 'principal:' .. principal, member)
  end
end

local function remove(session, principal)
  local partition, member = split(session)
  leave(session, principal)
  redis.call('ZREM', partition .. 'expiry', member)
  redis.call('DEL', session)
end

-- The members that end or move, by the names that they had and by their first ones.
local changed = {}

local function escape(id)
  return (string.gsub((string.gsub(id, '%%', '%%25')), '|', '%%7C'))
end

local function note(session, origin)
  local _, member = split(session)
  changed[#changed + 1] = member
  if origin and origin ~= '' then
    changed[#changed + 1] = string.match(member, '^(.*|)') .. escape(origin)
  end
end

-- Tells whoever listens. A hint: a user that may not publish does everything else all the same.
local function publish()
  if #changed > 0 then
    local prefix = string.match(KEYS[1], '^(.-){%d+}:')
    redis.pcall('PUBLISH', prefix .. 'notices', table.concat(changed, '\n'))
  end
end

-- What is kept for requests that overlap a rename, and what a crash leaves, stays this long.
local LEFTOVER_MS = 60000

-- Where a session has moved to, so that one who ends it finds it.
local function leave_proof(session, target)
  redis.call('HSET', session, 'moved', target)
  redis.call('PEXPIRE', session, LEFTOVER_MS)
end

-- The move is complete: another one to the same key is another move.
local function conclude(session)
  redis.call('HSET', session, 'concluded', 1)
end

-- Whether a key is free for a new session; clears the proof that a departed one left there.
local function is_free(session)
  local version, pending = unpack(redis.call('HMGET', session, 'version', 'pending'))
  if version or pending then
    return false
  end
  redis.call('DEL', session)
  return true
end

local commits = {}

function commits.create(session)
  local row = next_row()
  if not is_free(session) then
    return 'exists'
  end
  write(session, row)
  return 'done'
end

function commits.delete(session)
  local origin, arrival = next_argument(), next_argument()
  local kind = redis.call('TYPE', session).ok
  if kind ~= 'hash' and kind ~= 'none' then
    -- It is no session, but the indexes take it for one.
    remove(session)
    return 'done'
  end
  local version, principal, known, moved =
    unpack(redis.call('HMGET', session, 'version', 'principal', 'origin', 'moved'))
  if not version then
    return moved or 'missing'
  elseif arrival == 'moved' and known ~= origin then
    return 'missing'
  end
  remove(session, principal)
  note(session, known)
  return 'done'
end

function commits.rename(session)
  local renamed, expected, row = next_key(), next_argument(), next_row()
  local version, access, principal =
    unpack(redis.call('HMGET', session, 'version', 'access', 'principal'))
  if not version then
    return 'missing'
  elseif version ~= expected then
    return 'conflict'
  elseif not is_free(renamed) then
    return 'exists'
  end
  row.access = later(access, row.access)
  remove(session, principal)
  write(renamed, row)
  leave_proof(session, renamed)
  conclude(session)
  note(session, row.origin)
  return 'done'
end

function commits.touch(session)
  local touched = next_argument()
  local row = {}
  row.access, row.idle, row.slack, row.deadline =
    unpack(redis.call('HMGET', session, 'access', 'idle', 'slack', 'deadline'))
  if not row.access then
    return 'missing'
  end
  if number(touched) > number(row.access) then
    row.access = touched
    local partition, member = split(session)
    redis.call('HSET', session, 'access', touched)
    redis.call('ZADD', partition .. 'expiry', expiry(row), member)
  end
  return 'done'
end

function commits.update(session)
  local expected, row = next_argument(), next_row()
  local version, access, principal, origin =
    unpack(redis.call('HMGET', session, 'version', 'access', 'principal', 'origin'))
  if not version then
    return 'missing'
  elseif version ~= expected then
    return 'conflict'
  end
  row.access, row.origin = later(access, row.access), origin
  if principal ~= row.principal then
    leave(session, principal)
  end
  write(session, row)
  return 'done'
end

-- A rename to another partition of a cluster takes four steps, as no script may work on both. The
-- session is prepared under its new key, where it counts as missing; the old row departs, which
-- decides, and leaves a proof; the new row is confirmed; the move is concluded. What a crash leaves
-- between them goes by itself. Each step can be repeated.
-- ARGV: the old key, then the columns.
function commits.prepare(session)
  local origin, row = next_argument(), next_row()
  if redis.call('HGET', session, 'pending') ~= origin and not is_free(session) then
    return 'exists'
  end
  local columns = {'pending', origin}
  for _, column in ipairs(COLUMNS) do
    columns[#columns + 1] = column == 'version' and 'prepared' or column
    columns[#columns + 1] = row[column]
  end
  redis.call('HSET', session, unpack(columns))
  redis.call('PEXPIRE', session, LEFTOVER_MS)
  return 'done'
end

-- ARGV: the expected version, and the new key, which is the proof.
function commits.depart(session)
  local expected, target = next_argument(), next_argument()
  local version, principal, origin, moved =
    unpack(redis.call('HMGET', session, 'version', 'principal', 'origin', 'moved'))
  if moved == target then
    return 'done'
  elseif not version then
    return 'missing'
  elseif version ~= expected then
    return 'conflict'
  end
  remove(session, principal)
  leave_proof(session, target)
  note(session, origin)
  return 'done'
end

-- ARGV: the old key.
function commits.confirm(session)
  local origin = next_argument()
  if redis.call('HGET', session, 'pending') ~= origin then
    return redis.call('HEXISTS', session, 'version') == 1 and 'done' or 'missing'
  end
  local row = {}
  for _, column in ipairs(COLUMNS) do
    row[column] = redis.call('HGET', session, column == 'version' and 'prepared' or column)
  end
  redis.call('DEL', session)
  write(session, row)
  return 'done'
end

-- ARGV: the new key.
function commits.conclude(session)
  if redis.call('HGET', session, 'moved') == next_argument() then
    conclude(session)
  end
  return 'done'
end

local outcomes = {}
while key_position < #KEYS do
  local session, commit = next_key(), commits[next_argument()]
  outcomes[#outcomes + 1] = commit(session)
end
publish()
return outcomes
