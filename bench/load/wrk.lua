-- One fixed request for wrk, and its figures as JSON.
-- Arguments: method, content type, file with the body.
-- Requests with a bad status, which wrk counts as answered, are taken out.
-- Prints on a line of its own that begins with FIGURES: counts, and latencies in microseconds.

function init(args)
  wrk.method = args[1]
  wrk.headers["Content-Type"] = args[2]
  local file = assert(io.open(args[3], "rb"))
  wrk.body = file:read("*a")
  file:close()
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'FIGURES {"requests":%d,"seconds":%f,"p50Us":%d,"p99Us":%d,"errors":{"status":%d,"timeout":%d,"socket":%d}}\n',
    summary.requests - errors.status, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.status, errors.timeout, errors.connect + errors.read + errors.write))
end
