package program

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/selvage-edge/selvage/telemetry"
)

// logHandler makes lines of a Worker's log of slog's records.
type logHandler struct {
	run *run
	// attrs are written before a record's own; group prefixes their names.
	attrs, group string
}

// Enabled implements slog.Handler: every level is a console method.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, record slog.Record) error {
	var b strings.Builder
	b.WriteString(record.Message)
	b.WriteString(h.attrs)
	record.Attrs(func(a slog.Attr) bool { writeAttr(&b, h.group, a); return true })
	level := "debug"
	switch {
	case record.Level >= slog.LevelError:
		level = "error"
	case record.Level >= slog.LevelWarn:
		level = "warn"
	case record.Level >= slog.LevelInfo:
		level = "info"
	}
	r, text := h.run, b.String()
	r.mu.Lock()
	before := r.logBytes
	r.logBytes += len(text)
	within := r.logBytes <= telemetry.MaxLogBytes
	if within && r.observed {
		message, _ := json.Marshal([]string{text})
		r.logs = append(r.logs, telemetry.Log{Timestamp: record.Time.UnixMilli(), Level: level, Message: message})
	}
	r.mu.Unlock()
	if !within {
		if before > telemetry.MaxLogBytes {
			return nil // it has been told
		}
		level, text = "warn", telemetry.LogLimitExceeded
	}
	r.p.o.Lines(telemetry.Line{Time: record.Time, Worker: r.Worker, Version: r.Version.ID, Ray: r.ray(), Level: level, Message: text})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		writeAttr(&b, h.group, a)
	}
	return &logHandler{run: h.run, attrs: b.String(), group: h.group}
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{run: h.run, attrs: h.attrs, group: h.group + name + "."}
}

// writeAttr writes " name=value".
func writeAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			writeAttr(b, group, inner)
		}
		return
	}
	if a.Key == "" {
		return
	}
	text := v.String()
	if strings.ContainsAny(text, " \"=\n") || text == "" {
		quoted, _ := json.Marshal(text)
		text = string(quoted)
	}
	b.WriteString(" " + group + a.Key + "=" + text)
}
