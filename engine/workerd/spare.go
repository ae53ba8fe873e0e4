package workerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// ErrSpent says that a spare process cannot be used. Nothing was tried with it.
var ErrSpent = errors.New("the spare process is gone")

// Spare is a process that was started before anybody knows what for: its program
// is loaded, and it waits for its configuration. That is most of what a start
// takes. It belongs to one goroutine.
//
// It waits in the open of its configuration's file, on which we have a lease:
// the kernel lets nobody else open the file before the lease is given back. It
// takes the lease from us after a while (see [SpareLife]), so a spare must not be
// kept for longer.
type Spare struct {
	starting *starting
	config   *os.File // open for writing, with the lease
	begin    time.Time
}

// StartSpare starts a process that waits for its configuration. Of o.Config it
// needs the names of the sockets; o.Lines comes later. The error is
// errors.ErrUnsupported where the system cannot do that.
func StartSpare(o Options) (*Spare, error) {
	config, err := leasedFile()
	if err != nil {
		return nil, fmt.Errorf("start workerd ahead: %w", err)
	}
	s, err := launch(o, config)
	if err != nil {
		config.Close()
		return nil, err
	}
	return &Spare{s, config, time.Now()}, nil
}

// Start gives the process its configuration, whose sockets are those it was
// started with, and returns as [Start] does. After ErrSpent another process can
// be started with the same sockets.
func (s *Spare) Start(ctx context.Context, c *Config, lines func(Line)) (*Process, error) {
	begin := time.Now()
	defer s.config.Close()
	s.starting.process.listen(lines)
	if s.Stale() || c.Write(s.config) != nil || returnLease(s.config) != nil {
		s.Discard()
		return nil, ErrSpent
	}
	p, err := s.starting.listening(ctx, begin)
	if err == nil || ctx.Err() != nil {
		return p, err
	}
	if exit, ok := errors.AsType[*exec.ExitError](s.starting.process.err); ok && exit.ExitCode() < 0 {
		return nil, ErrSpent // a signal has ended it; if the configuration is to blame, the next process tells
	}
	return nil, err
}

// Stale reports whether it is too late to use the process.
func (s *Spare) Stale() bool {
	select {
	case <-s.starting.process.done:
		return true
	default:
		return time.Since(s.begin) > SpareLife()
	}
}

// Discard ends the process.
func (s *Spare) Discard() {
	s.starting.process.Kill()
	s.config.Close()
	s.starting.control.Close()
	<-s.starting.process.done
}

// PID is the process's id.
func (s *Spare) PID() int { return s.starting.process.PID() }
