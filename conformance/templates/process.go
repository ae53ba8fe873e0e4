package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// process is a child that says when it is ready.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	found string // what stood behind the mark that start waited for

	mu     sync.Mutex // guards output
	output bytes.Buffer
	wrote  chan struct{}
}

// Write keeps the child's output.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	p.output.Write(b)
	p.mu.Unlock()
	select {
	case p.wrote <- struct{}{}:
	default:
	}
	return len(b), nil
}

// after returns the rest of the first whole line with mark, up to a space.
func (p *process) after(mark string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, rest, ok := strings.Cut(p.output.String(), mark)
	line, _, whole := strings.Cut(rest, "\n")
	word, _, _ := strings.Cut(line, " ")
	return word, ok && whole
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// start runs cmd until it has printed mark.
func start(ctx context.Context, cmd *exec.Cmd, mark string) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{}), wrote: make(chan struct{}, 1)}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { cmd.Wait(); close(p.ended) }()
	if err := p.wait(ctx, mark); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) wait(ctx context.Context, mark string) error {
	for {
		var ok bool
		if p.found, ok = p.after(mark); ok {
			return nil
		}
		select {
		case <-p.wrote:
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.cmd.Args[1], complaint(p.text()))
		case <-ctx.Done():
			return fmt.Errorf("%s never printed %q: %s", p.cmd.Args[1], mark, p.text())
		}
	}
}

func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
}

// server is a `selvage serve` and what wrangler has to be told about it.
type server struct {
	*process
	selvage string // the program
	edge    string // URL
	env     []string
}

func startServer(ctx context.Context, selvage, data string) (*server, error) {
	tell := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, selvage, append(args, "--data", data)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	token, err := tell("token", "create", "--name", "templates")
	if err != nil {
		return nil, fmt.Errorf("create a token: %w", err)
	}
	account, err := tell("account")
	if err != nil {
		return nil, fmt.Errorf("ask for the account: %w", err)
	}
	p, err := start(ctx, exec.Command(selvage, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"), "Ready on ")
	if err != nil {
		return nil, err
	}
	s := &server{process: p, edge: p.found}
	const admin = `msg="control plane" url=`
	if err := p.wait(ctx, admin); err != nil {
		p.stop()
		return nil, err
	}
	s.env = []string{
		"CLOUDFLARE_API_BASE_URL=" + p.found, "CLOUDFLARE_API_TOKEN=" + token, "CLOUDFLARE_ACCOUNT_ID=" + account,
		"CI=true", "NO_COLOR=1", "WRANGLER_SEND_METRICS=false", "WRANGLER_HIDE_BANNER=true",
	}
	return s, nil
}
