-- wrk script: send each prepared request of a file once, in order, and print a summary as JSON.
-- If the requests run out before the test ends, stop sending.
-- File format: for each request, its size in bytes (eight digits), then the request.

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
    'result {"responses": %d, "seconds": %.6f, "error_responses": %d, "socket_errors": %d, ' ..
      '"p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000
  ))
end
