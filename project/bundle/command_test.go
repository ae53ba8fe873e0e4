package bundle

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

func TestRunCommand(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if err := RunCommand(t.Context(), "echo $WRANGLER_COMMAND; pwd; echo oops >&2", dir, "dev", &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, "dev\n") || !strings.Contains(got, dir) || !strings.HasSuffix(got, "oops\n") {
		t.Errorf("output %q", got)
	}
	err := RunCommand(t.Context(), "exit 3", dir, "dev", &out)
	if err == nil || !strings.Contains(err.Error(), `build command "exit 3"`) || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := RunCommand(ctx, "sleep 60", dir, "dev", &out); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("a command that is stopped: %v", err)
	}
}
