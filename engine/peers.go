package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/fault"
)

// connectHost is the host name under which cells ask each other for RPC.
const connectHost = "selvage"

// peerKey tells apart the ways in which other cells call a Worker. Each needs a
// socket of its own, because a call carries neither entrypoint nor props. With a
// class it leads to the objects of that class.
type peerKey struct{ entrypoint, props, class string }

func keyOf(r binding.Reference) peerKey { return peerKey{r.Entrypoint, r.Props, r.Class} }

// peerSocket is a listening socket whose path never changes, whichever cell
// serves it. While none does, a connection to it starts one.
type peerSocket struct {
	path string
	// called: other Workers use it, not only further cells of the same one.
	called bool
	file   *os.File // non-blocking; inherited by cells, never accepted here
	end    context.CancelFunc
}

// peerPath returns the path on which cells call a Worker.
func (e *Engine) peerPath(r binding.Reference) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.workerLocked(r.Worker)
	if err := w.listen(r); err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peers[keyOf(r)].path, nil
}

// listen makes the worker listen for the calls of r, and replaces cells that
// run without. Called with Engine.mu held.
func (w *worker) listen(r binding.Reference) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := w.open(keyOf(r))
	if err == nil && !s.called {
		s.called = true
		w.refresh()
	}
	return err
}

// open returns the socket of key, which cells that run may not know yet. Called
// with w.mu held.
func (w *worker) open(key peerKey) (*peerSocket, error) {
	if s := w.peers[key]; s != nil {
		return s, nil
	}
	if w.closed {
		return nil, errors.New("the server is shutting down")
	}
	path := w.e.run.socket("p")
	f, err := listenUnix(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(w.e.ctx)
	s := &peerSocket{path: path, file: f, end: cancel}
	w.peers[key] = s
	w.e.loops.Go(func() { w.activate(ctx, s) })
	return s, nil
}

func (s *peerSocket) close() {
	s.end()
	// Wakes the wait for a connection.
	_ = s.file.SetReadDeadline(time.Unix(1, 0))
}

// activate starts a cell whenever a connection waits on s and no cell serves it.
func (w *worker) activate(ctx context.Context, s *peerSocket) {
	for s.wait(ctx) {
		c, err := w.answerer(ctx)
		if err != nil {
			select { // nothing can answer; the callers wait
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-c.stopping:
		case <-ctx.Done():
		}
	}
}

// wait returns true when a connection waits on the socket, false at the end.
func (s *peerSocket) wait(ctx context.Context) bool {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return false
	}
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			n, err := unix.Poll(fds, 0)
			if !errors.Is(err, unix.EINTR) {
				return n > 0
			}
		}
	})
	return err == nil && ctx.Err() == nil
}

// answerer returns the cell that answers the calls of other cells: the primary
// version's, or one whose every method throws the reason why there is none.
func (w *worker) answerer(ctx context.Context) (*cell, error) {
	w.mu.Lock()
	p := w.primary()
	text := fmt.Sprintf("Couldn't find Worker %q: it is not deployed.", w.name)
	if w.config != nil {
		text = fmt.Sprintf("Worker %q has no code that could be called: it consists of static assets only.", w.name)
	}
	w.mu.Unlock()
	if p != nil {
		c, err := p.acquireHome(ctx)
		if err == nil {
			c.release()
			return c, nil
		}
		if errors.Is(err, errRetired) || ctx.Err() != nil {
			return nil, err
		}
		text = fmt.Sprintf("Worker %q could not be started: %s", w.name, fault.From(err).Message)
	}
	w.mu.Lock()
	if w.closed || w.primary() != p {
		w.mu.Unlock()
		return nil, errRetired
	}
	if w.standIn == nil || w.standIn.version.Message != text {
		if w.standIn != nil {
			w.standIn.retire()
		}
		w.standIn = newPool(w, w.standInVersion(text))
		w.standIn.standIn, w.standIn.most = true, 1
	}
	stand := w.standIn
	w.mu.Unlock()
	c, err := stand.acquire(ctx)
	if err != nil {
		return nil, err
	}
	c.release()
	if p != nil {
		// Give the Worker another chance soon.
		w.e.loops.Go(func() {
			select {
			case <-time.After(time.Second):
				stand.retire()
				w.mu.Lock()
				if w.standIn == stand {
					w.standIn = nil
				}
				w.mu.Unlock()
			case <-c.stopping:
			case <-ctx.Done():
			}
		})
	}
	return c, nil
}

// standInVersion is a Worker that throws text whatever is called. Called with
// w.mu held.
func (w *worker) standInVersion(text string) *config.Version {
	names := map[string]bool{}
	for k := range w.peers {
		if k.entrypoint != "" {
			names[k.entrypoint] = true
		}
	}
	sorted := make([]string, 0, len(names))
	for n := range names {
		sorted = append(sorted, n)
	}
	sort.Strings(sorted)
	return &config.Version{
		ID: "stand-in", Worker: w.name, Message: text, MainModule: "index.js", CompatibilityDate: shimDate,
		Code: config.Modules{{Name: "index.js", Type: config.ESModule, Data: []byte(throwing(quoteJS(text), sorted))}},
	}
}

// throwing is the source of a module whose default export, and whose exports of
// the given names, answer every method by throwing the message that the
// JavaScript expression gives, and fetch() with status 503: an exception of
// fetch() would reach a caller in another process as a 500 without its text.
func throwing(expression string, entrypoints []string) string {
	var s strings.Builder
	fmt.Fprintf(&s, `import { WorkerEntrypoint } from "cloudflare:workers";
export default class Absent extends WorkerEntrypoint {
  constructor(ctx, env) {
    super(ctx, env);
    const text = %s;
    const fetch = () => new Response(text + "\n", { status: 503 });
    const fail = () => { throw new Error(text) };
    return new Proxy(this, {
      get: (target, name) => name === "fetch" ? fetch : Reflect.has(target, name) ? Reflect.get(target, name) : fail,
    });
  }
  fetch() {}
}
`, expression)
	for _, name := range entrypoints {
		fmt.Fprintf(&s, "export { Absent as %s };\n", quoteJS(name))
	}
	return s.String()
}

// thrower is a service that throws the text of its props.
func thrower(name string) workerd.Service {
	return workerd.Service{Name: name, Worker: &workerd.Worker{
		Modules:           []workerd.Module{{Name: "index.js", Kind: workerd.ESModule, Data: []byte(throwing("ctx.props.text", nil))}},
		CompatibilityDate: shimDate,
		GlobalOutbound:    egressService,
	}}
}

// absentProps are the props of a thrower for a missing entrypoint.
func absentProps(worker, entrypoint string) string {
	props, _ := json.Marshal(map[string]string{"text": fmt.Sprintf("Worker %q has no entrypoint named %q.", worker, entrypoint)})
	return string(props)
}

// quoteJS gives a JavaScript string literal.
func quoteJS(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}
