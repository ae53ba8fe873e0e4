package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/selvage-edge/selvage/internal/poll"
	"github.com/selvage-edge/selvage/telemetry"
)

func TestLogLimit(t *testing.T) {
	var l logLimit
	for _, s := range []struct {
		ray      string
		bytes    int
		ok, last bool
	}{
		{"a", telemetry.MaxLogBytes - 1, true, false}, {"b", 5, true, false}, {"a", 1, true, false}, {"a", 1, false, true}, {"a", 1, false, false},
		{"b", 5, true, false}, {"", telemetry.MaxLogBytes + 1, true, false}, {"", 1, true, false}, {"c", telemetry.MaxLogBytes + 1, false, true}, {"c", 1, false, false},
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
  if (request.url.endsWith("/once")) console.log("OOM" + "x".repeat(4e6)), console.log("more");
  const n = request.url.endsWith("/much") ? 400 : 1;
  for (let i = 0; i < n; i++) console.log("x".repeat(1000));
  console.log("end of " + new URL(request.url).pathname);
  return new Response("ok");
} }`))
	const once, much, little = "0000000000000001", "0123456789abcdef", "fedcba9876543210"
	b.want("/web/once", "ok", "CF-Ray", once+"-LOC") // one line over the limit
	b.want("/web/much", "ok", "CF-Ray", much+"-LOC")
	b.want("/web/little", "ok", "CF-Ray", little+"-LOC")
	bytes, told := map[string]int{}, map[string]int{}
	truncated := map[bool]bool{} // by whether there was much
	poll.Until(t, "the last line and all tail events", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		clear(bytes)
		clear(told)
		ended := false
		for _, l := range b.lines {
			switch {
			case l.Runtime && strings.Contains(l.Message, "OOM"):
				t.Errorf("what a Worker logs passes for the runtime's")
			case l.Runtime:
			case l.Message == telemetry.LogLimitExceeded:
				told[l.Ray]++
			default:
				bytes[l.Ray] += len(l.Message)
				ended = ended || strings.HasSuffix(l.Message, "/little")
			}
		}
		for _, i := range b.invocations {
			if len(i.Logs) > 0 {
				truncated[len(i.Logs) > 100] = i.Truncated
			}
		}
		return ended && len(b.invocations) == 3 // the last of which is that of little
	})
	if bytes[much] != telemetry.MaxLogBytes/1000*1000 || told[much] != 1 || bytes[little] != 1000+len("end of /little") || told[little] != 0 ||
		bytes[once] != 0 || told[once] != 1 || bytes[""] != 0 {
		t.Errorf("bytes %v, told %v", bytes, told)
	}
	if !truncated[true] || truncated[false] {
		t.Errorf("tail events with and without much, truncated: %v", truncated)
	}
}

// An exception with a long message is one line, and cut.
func TestLongExceptionsAreCut(t *testing.T) {
	b := newBench(t, nil)
	b.deploy(b.version("web", `export default { fetch(request) {
  if (request.url.endsWith("/last")) { console.log("last"); return new Response("ok"); }
  throw new Error("x".repeat(request.url.endsWith("/cut") ? 4e6 : 3e5));
} }`))
	for _, path := range []string{"/web/cut", "/web/long"} {
		if status, _, err := b.ask(path); status != 500 {
			t.Fatalf("%s: %d, %v", path, status, err)
		}
	}
	b.want("/web/last", "ok")
	var lengths []int
	poll.Until(t, "the last line", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		lengths = nil
		for _, l := range b.lines {
			if l.Message == "last" {
				return true
			}
			if strings.Contains(l.Message, "xxx") {
				lengths = append(lengths, len(l.Message))
			}
		}
		return false
	})
	if !slices.Equal(lengths, []int{telemetry.MaxLogBytes, telemetry.MaxLogBytes}) {
		t.Errorf("lines of %v bytes, want two of %d", lengths, telemetry.MaxLogBytes)
	}
}
