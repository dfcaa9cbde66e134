-- Prints the summary of a run as one line of JSON, exact where wrk's own text is rounded.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nwrk-json {"seconds":%.6f,"requests":%d,"bytes":%d,"errors":%d,"bad_status":%d,"timeouts":%d,' ..
    '"mean_us":%.1f,"p50_us":%.0f,"p99_us":%.0f,"p999_us":%.0f,"max_us":%.0f}\n',
    summary.duration / 1e6, summary.requests, summary.bytes, e.connect + e.read + e.write, e.status, e.timeout,
    latency.mean, latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
