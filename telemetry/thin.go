package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Of equal log lines only the first ones are written in each interval.
const (
	thinFirst    = 10
	thinInterval = 10 * time.Second
	// thinKinds bounds how many different lines are remembered at once; more are
	// written as they come.
	thinKinds = 4096
)

// Thin returns a handler that passes the first ten of equal records on to next in
// every ten seconds, and then one that says how many more there were. Records
// are equal if they have the same level, attributes and message, whatever
// numbers are in the message: a storage engine numbers its files and tries.
func Thin(next slog.Handler) slog.Handler {
	return &thin{next: next, lines: &thinLines{seen: map[string]*thinLine{}}}
}

type thin struct {
	next  slog.Handler
	scope string // attributes and groups of WithAttrs and WithGroup
	lines *thinLines
}

// thinLines are what has been seen in this interval.
type thinLines struct {
	mu   sync.Mutex
	seen map[string]*thinLine
}

type thinLine struct {
	count int
	last  slog.Record
}

func (h *thin) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *thin) Handle(ctx context.Context, r slog.Record) error {
	key := h.key(r)
	h.lines.mu.Lock()
	line := h.lines.seen[key]
	switch {
	case line == nil && len(h.lines.seen) < thinKinds:
		line = &thinLine{}
		h.lines.seen[key] = line
		time.AfterFunc(thinInterval, func() { h.end(key) })
	case line == nil:
		line = &thinLine{}
	}
	line.count++
	pass := line.count <= thinFirst
	if !pass {
		line.last = r.Clone()
	}
	h.lines.mu.Unlock()
	if !pass {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// end ends the interval of a line and tells of what was left out.
func (h *thin) end(key string) {
	h.lines.mu.Lock()
	line := h.lines.seen[key]
	delete(h.lines.seen, key)
	h.lines.mu.Unlock()
	if more := line.count - thinFirst; more > 0 {
		line.last.Message += fmt.Sprintf(" (repeated %d times in %v)", more, thinInterval)
		h.next.Handle(context.Background(), line.last)
	}
}

func (h *thin) WithAttrs(attrs []slog.Attr) slog.Handler {
	scope := h.scope
	for _, a := range attrs {
		scope += "\x00" + a.String()
	}
	return &thin{next: h.next.WithAttrs(attrs), scope: scope, lines: h.lines}
}

func (h *thin) WithGroup(name string) slog.Handler {
	return &thin{next: h.next.WithGroup(name), scope: h.scope + "\x00" + name + ".", lines: h.lines}
}

func (h *thin) key(r slog.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d%s\x00", r.Level, h.scope)
	number := false
	for _, c := range []byte(r.Message) {
		digit := c >= '0' && c <= '9'
		if digit && number {
			continue
		}
		if number = digit; digit {
			c = '0'
		}
		b.WriteByte(c)
	}
	r.Attrs(func(a slog.Attr) bool {
		b.WriteByte(0)
		b.WriteString(a.String())
		return true
	})
	return b.String()
}
