package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
)

func TestLogLimit(t *testing.T) {
	var l logLimit
	for _, s := range []struct {
		ray      string
		bytes    int
		ok, last bool
	}{
		{"a", maxLogBytes - 1, true, false}, {"b", 5, true, false}, {"a", 1, true, false}, {"a", 1, false, true}, {"a", 1, false, false},
		{"b", 5, true, false}, {"", maxLogBytes + 1, true, false}, {"", 1, true, false}, {"c", maxLogBytes + 1, false, true}, {"c", 1, false, false},
	} {
		if ok, last := l.add(s.ray, s.bytes); ok != s.ok || last != s.last {
			t.Errorf("%d bytes of %q: %v, %v", s.bytes, s.ray, ok, last)
		}
	}
	for i := range 2 * maxLogging {
		l.add(fmt.Sprint(i), 1)
	}
	if len(l.bytes) != maxLogging || len(l.order) != maxLogging {
		t.Errorf("%d and %d are kept", len(l.bytes), len(l.order))
	}
}

// One invocation that logs too much is cut off and told so once; the next one
// logs again. Tail events are cut off by the runtime, and say so.
func TestLogsAreBounded(t *testing.T) {
	b := newBench(t, nil)
	defer b.Observe("web")()
	b.deploy(b.version("web", `export default { fetch(request) {
  const n = request.url.endsWith("/much") ? 400 : 1;
  for (let i = 0; i < n; i++) console.log("x".repeat(1000));
  console.log("end of " + new URL(request.url).pathname);
  return new Response("ok");
} }`))
	const much, little = "0123456789abcdef", "fedcba9876543210"
	b.want("/web/much", "ok", "CF-Ray", much+"-LOC")
	b.want("/web/little", "ok", "CF-Ray", little+"-LOC")
	bytes, told := map[string]int{}, map[string]int{}
	truncated := map[bool]bool{} // by whether there was much
	poll.Until(t, "the last line and both tail events", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		clear(bytes)
		clear(told)
		ended := false
		for _, l := range b.lines {
			switch {
			case l.Runtime:
			case l.Message == logLimitExceeded:
				told[l.Ray]++
			default:
				bytes[l.Ray] += len(l.Message)
				ended = ended || strings.HasSuffix(l.Message, "/little")
			}
		}
		for _, i := range b.invocations {
			truncated[len(i.Logs) > 100] = i.Truncated
		}
		return ended && len(truncated) == 2
	})
	if bytes[much] != maxLogBytes/1000*1000 || told[much] != 1 || bytes[little] != 1000+len("end of /little") || told[little] != 0 {
		t.Errorf("bytes %v, told %v", bytes, told)
	}
	if !truncated[true] || truncated[false] {
		t.Errorf("tail events with and without much, truncated: %v", truncated)
	}
}
