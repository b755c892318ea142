-- Sends each prepared request of a file once, in order, and says at the end how it went. Where they run out before the
-- time is over, it is quiet for the rest.
-- The file: eight digits (the request's size in bytes), then the request, and so on.

local file, last

function init(arguments)
  file = assert(io.open(arguments[1], "rb"))
end

function request()
  local size = file:read(8)
  if size then
    last = file:read(tonumber(size))
  else
    wrk.thread:stop()
  end
  return last
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'result {"answers": %d, "seconds": %.6f, "refused": %d, "broken": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000
  ))
end
