package dev

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/telemetry"
)

// console prints what happens in the Workers for a person to read. It is safe
// for concurrent use: each entry is written whole.
type console struct {
	mu    sync.Mutex
	out   io.Writer
	color bool
	// names: several projects run, so each line says which one it is from.
	names bool
}

// colors reports whether what is written to out may have colors.
func colors(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}

const (
	red    = "31"
	yellow = "33"
	green  = "32"
	gray   = "90"
)

func (c *console) paint(color, text string) string {
	if !c.color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// print writes one entry; further lines of the text are indented below it.
func (c *console) print(worker, color, text string) {
	prefix := ""
	if c.names && worker != "" {
		prefix = c.paint(gray, "["+worker+"]") + " "
	}
	text = strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, "%s%s\n", prefix, c.paint(color, text))
}

// line prints a console.* call of a Worker.
func (c *console) line(l telemetry.Line) {
	if l.Runtime && l.Level != "error" {
		return // workerd's own notes are for its developers
	}
	switch l.Level {
	case "error":
		c.print(l.Worker, red, l.Message)
	case "warn":
		c.print(l.Worker, yellow, l.Message)
	case "debug":
		c.print(l.Worker, gray, l.Message)
	default:
		c.print(l.Worker, "", l.Message)
	}
}

// exceptions prints the exceptions of an invocation. Its console lines were
// printed as they came.
func (c *console) exceptions(i telemetry.Invocation) {
	for _, e := range i.Exceptions {
		text := e.Stack
		if !strings.Contains(text, e.Message) {
			text = strings.TrimRight(e.Name+": "+e.Message+"\n"+e.Stack, "\n")
		}
		c.print(i.ScriptName, red, "Uncaught "+text)
	}
}

// access prints a finished request.
func (c *console) access(r edge.Record) {
	color := green
	switch {
	case r.Status >= 500:
		color = red
	case r.Status >= 400:
		color = yellow
	}
	c.print(r.Worker, "", fmt.Sprintf("%s %s %s %s", r.Method, r.Path, c.paint(color, fmt.Sprint(r.Status)),
		c.paint(gray, fmt.Sprintf("(%dms)", r.Duration.Milliseconds()))))
}

// failed prints a finished request if it failed.
func (c *console) failed(r edge.Record) {
	if r.Status >= 400 || r.Aborted {
		c.access(r)
	}
}

// problem prints an error of ours: a build that failed, a Worker that does not start.
func (c *console) problem(worker string, err error) { c.print(worker, red, "✘ "+err.Error()) }

// warning prints a warning of ours.
func (c *console) warning(worker, text string) { c.print(worker, yellow, "▲ "+text) }

// note prints what dev itself does.
func (c *console) note(worker, text string) { c.print(worker, gray, text) }
