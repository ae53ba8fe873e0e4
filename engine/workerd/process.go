package workerd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say how to start a process.
type Options struct {
	// Binary is the path of workerd, see [Binary].
	Binary string
	// Config is what it serves.
	Config *Config
	// Sockets are the listening descriptors of Config.Sockets by name. They
	// must be in non-blocking mode (two generations may share one, and a
	// blocking accept would stall the one that loses the race). The caller
	// keeps them and may close them once Start has returned.
	Sockets map[string]*os.File
	// InspectorAddr, when not empty, is the host:port of the DevTools protocol.
	// It has no authentication: loopback only.
	InspectorAddr string
	// DebugPort, when not empty, is the address ("unix:/path") of the RPC port
	// that reaches every service of the process. It has no authentication.
	DebugPort string
	// Exceptions makes the process write a line of level info for each exception
	// that the Worker's code does not catch; see [Line.Exception].
	Exceptions bool
	// ExtraFiles are inherited for the life of the process, a lock for example.
	ExtraFiles []*os.File
	// Lines receives what the process writes; called from one goroutine at a
	// time. Nil discards.
	Lines func(Line)
	// Env is the environment of the process; nil is an empty one, so that no
	// secret of ours reaches it.
	Env []string
	// Prepare, when not nil, may change the command before it is started, to
	// confine it. ExtraFiles and SysProcAttr are already set.
	Prepare func(*exec.Cmd) error
}

// Line is one line of a process's output.
type Line struct {
	Time time.Time
	// Level is debug, info, log, warn or error.
	Level   string
	Message string
	// Runtime: workerd wrote it, not the Worker's code.
	Runtime bool
}

// Exception is the exception that the line tells of, with its stack where it has
// one; ok is false for a line that tells of none. Of the runtime's notes, which
// [Options.Exceptions] lets through, these are the only ones for a Worker's
// author.
func (l Line) Exception() (text string, ok bool) {
	if !l.Runtime || l.Level != "info" {
		return "", false
	}
	rest, ok := strings.CutPrefix(l.Message, "uncaught exception; source = ")
	if !ok {
		return "", false
	}
	for _, field := range []string{"; stack = ", "; exception = "} {
		if _, text, ok = strings.Cut(rest, field); ok {
			return text, true
		}
	}
	return "", false
}

// Process is a running workerd. Its methods are safe for concurrent use.
type Process struct {
	// Ports are the TCP ports it listens on, by socket name ("inspector",
	// "debug-port" and the names of Config.Sockets); zero for unix sockets.
	Ports map[string]int
	// StartTime is how long it took from the start to readiness.
	StartTime time.Duration

	cmd    *exec.Cmd
	thread *threadFile   // nil where there is none
	done   chan struct{} // closed when the process is gone and its output read
	err    error         // set before done is closed

	mu     sync.Mutex
	output func(Line)
	errors []string // runtime errors, kept until the process is ready
	ready  bool
}

// maxLineBytes bounds one line of output; what is longer is cut. 256 KiB of text
// always fit, also where each byte is escaped: that is what an invocation may log.
const maxLineBytes = 6*(256<<10) + 4<<10

// maxStartErrors bounds the runtime messages kept for a StartError.
const maxStartErrors = 50

// Start starts workerd and returns when it listens on every socket. When the
// process ends before that, the error is a [*StartError]. ctx bounds the start
// only.
//
// The process dies with its parent, however that ends (Linux), and is in a
// process group of its own, so that Ctrl-C in a terminal reaches the parent
// alone.
func Start(ctx context.Context, o Options) (*Process, error) {
	begin := time.Now()
	config, err := configFile(o.Config)
	if err != nil {
		return nil, fmt.Errorf("start workerd: write configuration: %w", err)
	}
	defer config.Close()
	s, err := launch(o, config)
	if err != nil {
		return nil, err
	}
	return s.listening(ctx, begin)
}

// starting is a process that does not listen yet.
type starting struct {
	process  *Process
	control  *os.File // it says here what it listens on
	expected map[string]bool
}

// launch starts a process that reads its configuration from config, of which it
// has a descriptor of its own afterwards.
func launch(o Options, config *os.File) (*starting, error) {
	var opened []io.Closer
	defer func() {
		for _, c := range opened {
			c.Close()
		}
	}()
	control, controlWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start workerd: %w", err)
	}
	opened = append(opened, controlWrite)
	stdout, stdoutWrite, err := os.Pipe()
	if err != nil {
		control.Close()
		return nil, fmt.Errorf("start workerd: %w", err)
	}
	opened = append(opened, stdoutWrite)
	stderr, stderrWrite, err := os.Pipe()
	if err != nil {
		control.Close()
		stdout.Close()
		return nil, fmt.Errorf("start workerd: %w", err)
	}
	opened = append(opened, stderrWrite)
	failed := func(err error) (*starting, error) {
		control.Close()
		stdout.Close()
		stderr.Close()
		return nil, fmt.Errorf("start workerd: %w", err)
	}

	cmd := exec.Command(o.Binary, "serve", "--experimental")
	inherit := func(f *os.File) int {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		return 2 + len(cmd.ExtraFiles)
	}
	configFD := inherit(config)
	cmd.Args = append(cmd.Args, fmt.Sprintf("--control-fd=%d", inherit(controlWrite)))
	expected := map[string]bool{}
	for _, s := range o.Config.Sockets {
		f := o.Sockets[s.Name]
		if f == nil {
			return failed(fmt.Errorf("no listening descriptor for socket %q", s.Name))
		}
		cmd.Args = append(cmd.Args, fmt.Sprintf("--socket-fd=%s=%d", s.Name, inherit(f)))
		expected[s.Name] = true
	}
	if o.InspectorAddr != "" {
		cmd.Args = append(cmd.Args, "--inspector-addr="+o.InspectorAddr)
		expected["inspector"] = true
	}
	if o.DebugPort != "" {
		cmd.Args = append(cmd.Args, "--debug-port="+o.DebugPort)
		expected["debug-port"] = true
	}
	if o.Exceptions {
		cmd.Args = append(cmd.Args, "--verbose")
	}
	for _, f := range o.ExtraFiles {
		inherit(f)
	}
	cmd.Args = append(cmd.Args, fmt.Sprintf("%s/%d", fdFolder, configFD), "config")
	cmd.Stdout, cmd.Stderr = stdoutWrite, stderrWrite
	cmd.Env = o.Env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.SysProcAttr = processAttributes()
	if o.Prepare != nil {
		if err := o.Prepare(cmd); err != nil {
			return failed(err)
		}
	}
	if err := spawn(cmd); err != nil {
		return failed(err)
	}
	p := &Process{cmd: cmd, done: make(chan struct{}), output: o.Lines, Ports: map[string]int{}}
	p.thread = openThread(cmd.Process.Pid)
	var readers sync.WaitGroup
	readers.Go(func() { p.read(stdout) })
	readers.Go(func() { p.read(stderr) })
	go func() {
		// The output ends when the process does: it has no children.
		readers.Wait()
		p.err = cmd.Wait()
		if p.thread != nil {
			p.thread.Close()
		}
		close(p.done)
	}()

	return &starting{p, control, expected}, nil
}

// listening waits until the process listens on every socket; see [Start].
func (s *starting) listening(ctx context.Context, begin time.Time) (*Process, error) {
	p := s.process
	defer s.control.Close()
	listening := make(chan error, 1)
	go func() { listening <- p.await(s.control, s.expected) }()
	var err error
	select {
	case err = <-listening:
	case <-ctx.Done():
		err = fmt.Errorf("start workerd: %w", context.Cause(ctx))
		p.Kill()
		<-p.done
		s.control.Close()
		<-listening
		return nil, err
	}
	if err != nil {
		// The control pipe closed early: the process is ending by itself.
		select {
		case <-p.done:
		case <-ctx.Done():
			p.Kill()
			<-p.done
		}
		return nil, p.startError()
	}
	p.mu.Lock()
	p.ready, p.errors = true, nil
	p.mu.Unlock()
	p.StartTime = time.Since(begin)
	return p, nil
}

// await reads the control pipe until every expected socket listens.
func (p *Process) await(control io.Reader, expected map[string]bool) error {
	dec := json.NewDecoder(control)
	for len(expected) > 0 {
		var event struct {
			Event, Socket string
			Port          int
		}
		if err := dec.Decode(&event); err != nil {
			return err
		}
		name := event.Socket
		if event.Event == "listen-inspector" {
			name = "inspector"
		}
		p.Ports[name] = event.Port
		delete(expected, name)
	}
	return nil
}

// read passes the lines of one stream on until it ends.
func (p *Process) read(f *os.File) {
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	var long []byte
	cut := false
	for {
		chunk, err := r.ReadSlice('\n')
		room := maxLineBytes - len(long)
		cut = cut || len(chunk) > room
		long = append(long, chunk[:min(room, len(chunk))]...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if cut {
			long = closeLine(long)
		}
		if text := bytes.TrimRight(long, "\r\n"); len(text) > 0 {
			p.line(ParseLine(text))
		}
		cut = false
		if long = long[:0]; cap(long) > 64<<10 {
			long = nil
		}
		if err != nil {
			return
		}
	}
}

// closeLine ends a line of the structured log that was cut within its message,
// so that the message is still whose it was. The message is its last long field.
func closeLine(cut []byte) []byte {
	const longestEscape = len(`\u0000`)
	for n := range min(longestEscape, len(cut)) {
		if line := append(cut[:len(cut)-n:len(cut)-n], `"}`...); json.Valid(line) {
			return line
		}
	}
	return cut
}

// listen sets who gets the lines.
func (p *Process) listen(lines func(Line)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output = lines
}

func (p *Process) line(l Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready && l.Runtime && l.Level == "error" && len(p.errors) < maxStartErrors {
		p.errors = append(p.errors, l.Message)
		return
	}
	if !p.ready && l.Runtime && l.Level == "info" {
		return // what keeps it from starting comes again as an error
	}
	if p.output != nil {
		p.output(l)
	}
}

// ParseLine reads one line of workerd's structured log. A line that is not
// JSON (a crash report of V8) is an error of the runtime.
func ParseLine(text []byte) Line {
	var raw struct {
		Timestamp json.RawMessage `json:"timestamp"`
		Level     string          `json:"level"`
		Message   *string         `json:"message"`
		Source    string          `json:"source"`
	}
	if len(text) == 0 || text[0] != '{' || json.Unmarshal(text, &raw) != nil || raw.Message == nil || raw.Level == "" {
		return Line{Time: time.Now(), Level: "error", Message: strings.ToValidUTF8(string(text), "\uFFFD"), Runtime: true}
	}
	l := Line{Time: time.Now(), Level: raw.Level, Message: *raw.Message, Runtime: raw.Source != ""}
	var ms json.Number
	if json.Unmarshal(bytes.Trim(raw.Timestamp, `"`), &ms) == nil {
		if n, err := ms.Float64(); err == nil && n > 0 && n < 1e14 {
			l.Time = time.UnixMilli(int64(n))
		}
	}
	if l.Level == "warning" {
		l.Level = "warn"
	}
	return l
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns when the process has ended, with how it ended: nil for exit
// code 0, or an *exec.ExitError.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Kill ends the process at once.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// Drain asks the process to finish its requests and to end; when ctx is done
// first it is killed. Drain returns when the process is gone.
func (p *Process) Drain(ctx context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.Kill()
		<-p.done
		return context.Cause(ctx)
	}
}

// Usage is what a process uses of the machine.
type Usage struct {
	// CPU is the processor time used since its start.
	CPU time.Duration
	// Memory is the resident set in bytes.
	Memory int64
}

// Usage asks the kernel; it fails when the process has ended.
func (p *Process) Usage() (Usage, error) {
	select {
	case <-p.done:
		return Usage{}, errors.New("read usage of workerd: the process has ended")
	default:
		return usage(p.PID())
	}
}

// Thread is the processor time that the process's first thread has used since
// its start; it fails when the process has ended. The Workers' code runs on that
// thread alone; the others, V8's helpers, are in [Usage.CPU] only.
func (p *Process) Thread() (time.Duration, error) {
	if p.thread == nil {
		return 0, errors.New("read usage of workerd's thread: not available on this system")
	}
	d, err := p.thread.read()
	if err != nil {
		return 0, fmt.Errorf("read usage of workerd's thread: %w", err)
	}
	return d, nil
}

// threadFile is a file of the kernel that tells the processor time of a thread.
type threadFile struct {
	*os.File
	parse func([]byte) (time.Duration, error)
}

func (f *threadFile) read() (time.Duration, error) {
	var text [512]byte
	n, err := f.ReadAt(text[:], 0)
	if n == 0 {
		return 0, err
	}
	return f.parse(text[:n])
}

func (p *Process) startError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errors) == 0 {
		how := "exited"
		if p.err != nil {
			how = p.err.Error()
		}
		return &StartError{Message: "workerd ended before it was ready (" + how + ")"}
	}
	return parseStartError(p.errors)
}
