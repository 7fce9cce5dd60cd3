-- Visits with sessions that exist already: `wrk ... -s visit.lua URL -- COOKIES`, where COOKIES is a
-- Lua file that returns a list of Cookie headers. All requests are formed beforehand, so that wrk
-- costs little. At the end it prints one line of JSON.

local requests = {}
local following = 0

function init(arguments)
  for index, cookie in ipairs(dofile(arguments[1])) do
    requests[index] = wrk.format("GET", nil, { ["Cookie"] = cookie })
  end
end

function request()
  following = following % #requests + 1
  return requests[following]
end

function done(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"requests":%d,"micros":%d,"failed":%d,"p50":%d,"p99":%d,"max":%d}\n',
    summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99), latency.max))
end
