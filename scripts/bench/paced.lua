-- wrk at a steady rate, in one thread: each request at its scheduled moment or, if that has passed, at once.
-- Arguments: requests a second, and a file with a method, a path and perhaps a body of JSON on each line, between tabs.
local ffi = require("ffi")
ffi.cdef [[
typedef struct { long seconds; long nanoseconds; } recsys_time;
int clock_gettime(int clock, recsys_time *now);
]]
local MONOTONIC = 1
local time = ffi.new("recsys_time")
local JSON = { ["Content-Type"] = "application/json" }
local requests, asked = {}, 0
local step, due

local function now()
  ffi.C.clock_gettime(MONOTONIC, time)
  return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

function init(args)
  step = 1 / tonumber(args[1])
  for line in io.lines(args[2]) do
    local method, path, body = line:match("^(%S+)\t(%S+)\t(.*)$")
    requests[#requests + 1] = body == "" and wrk.format(method, path) or wrk.format(method, path, JSON, body)
  end
end

function delay()
  local at = now()
  due = (due or at) + step
  return math.max(0, math.floor((due - at) * 1000 + 0.5))
end

function request()
  asked = asked + 1
  return requests[asked % #requests + 1]
end
