package telemetry

// MaxLogBytes is how much text an invocation may log. The runtime bounds tail
// events in the same way and sets their truncated.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#log-size
const MaxLogBytes = 256 << 10

// LogLimitExceeded takes the place of what an invocation logs beyond the limit,
// in the words of tail events.
const LogLimitExceeded = "Log size limit exceeded: More than 256KB of data (across console.log statements, exception, request metadata and headers) was logged during a single request. " +
	"Subsequent data for this request will not be recorded in logs, appear when tailing this Worker's logs, or in Tail Workers."
