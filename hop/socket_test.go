package hop

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvage-edge/selvage/internal/poll"
)

// pair returns the two ends of a connection, closed when the test ends.
func pair(t *testing.T, network, address string) (one, other net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if one, err = net.Dial(network, l.Addr().String()); err == nil {
		other, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		one.Close()
		other.Close()
	})
	return one, other
}

// joined is a WebSocket between a client and a Worker.
func joined(t *testing.T) (client, worker net.Conn, s *socket, restart func()) {
	t.Helper()
	client, ours := pair(t, "tcp", "127.0.0.1:0")
	upstream, worker := pair(t, "unix", filepath.Join(t.TempDir(), "s"))
	s = &socket{client: ours, upstream: upstream, patience: poll.Patience}
	var r Restart
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.join(context.Background(), &r)
	}()
	poll.Until(t, "they are joined", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.sockets) == 1
	})
	t.Cleanup(func() {
		client.Close()
		worker.Close()
		<-done
		if len(r.sockets) > 0 {
			t.Error("the socket is kept")
		}
	})
	return client, worker, s, r.End
}

// The client of a WebSocket that is ended for a restart gets the frame that is
// on its way, whole, and then a Close frame with code 1012. To the Worker its
// client has left.
func TestRestart(t *testing.T) {
	long := string(wsFrame(2, false, 300))
	goodbye := string(serviceRestart)
	for name, c := range map[string]struct{ before, after, want string }{
		"nothing was said":            {"", "", goodbye},
		"between two frames":          {long, "", long + goodbye},
		"within a header":             {long[:3], long[3:], long + goodbye},
		"within a payload":            {long[:50], long[50:], long + goodbye},
		"another frame follows":       {long[:50], long[50:] + long, long + goodbye},
		"the Worker has said goodbye": {string(closeFrame(4000, "x")), "", string(closeFrame(4000, "x"))},
		"the frame never ends":        {long[:50], "", long[:50]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, worker, s, restart := joined(t)
			io.WriteString(worker, c.before)
			got := make([]byte, len(c.before))
			if _, err := io.ReadFull(client, got); err != nil {
				t.Fatal(err)
			}
			if name == "the frame never ends" {
				s.patience = time.Millisecond
			}
			restart()
			io.WriteString(client, "something that nobody reads any more")
			io.WriteString(worker, c.after)
			rest, err := io.ReadAll(client)
			if err != nil || string(got)+string(rest) != c.want {
				t.Errorf("the client got %q, %v, want %q", string(got)+string(rest), err, c.want)
			}
			client.Close()
			io.Copy(io.Discard, worker) // to its end
		})
	}
}

// An upstream that vanishes while a Worker behind it is replaced has an excuse,
// unless it has said goodbye or was in the middle of a frame.
func TestExcuse(t *testing.T) {
	whole, goodbye := string(wsFrame(2, false, 300)), string(closeFrame(4000, "x"))
	for name, c := range map[string]struct {
		excuses int
		said    string
		want    string
	}{
		"no excuse":         {0, whole, whole},
		"an excuse":         {1, whole, whole + string(serviceRestart)},
		"two":               {2, "", string(serviceRestart)},
		"goodbye":           {1, goodbye, goodbye},
		"within a frame":    {1, whole[:50], whole[:50]},
		"excused, and over": {-1, whole, whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r Restart
			for range c.excuses {
				r.Excuse()
			}
			if c.excuses < 0 {
				over := r.Excuse()
				over()
				over()
			}
			client, ours := pair(t, "tcp", "127.0.0.1:0")
			upstream, worker := pair(t, "unix", filepath.Join(t.TempDir(), "s"))
			s := &socket{client: ours, upstream: upstream, patience: poll.Patience}
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.join(context.Background(), &r)
			}()
			io.WriteString(worker, c.said)
			worker.Close()
			if got, err := io.ReadAll(client); string(got) != c.want || err != nil {
				t.Errorf("the client got %q, %v, want %q", got, err, c.want)
			}
			client.Close()
			<-done
		})
	}
}

// What comes after the end of a restart ends at once, and a Worker that is gone
// keeps nobody from being told.
func TestRestartIsOver(t *testing.T) {
	var r Restart
	r.End()
	client, ours := pair(t, "tcp", "127.0.0.1:0")
	upstream, worker := pair(t, "unix", filepath.Join(t.TempDir(), "s"))
	worker.Close()
	s := &socket{client: ours, upstream: upstream, patience: poll.Patience}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.join(context.Background(), &r)
	}()
	if got, err := io.ReadAll(client); string(got) != string(serviceRestart) || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	client.Close()
	<-done
}

// A client that does not read does not hold up a restart.
func TestRestartOfASlowReader(t *testing.T) {
	_, worker, s, restart := joined(t)
	s.patience = time.Millisecond
	var sent atomic.Int64
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for p := wsFrame(2, false, 1<<20); ; {
			n, err := worker.Write(p)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	}()
	stalled(t, &sent)
	restart()
	<-wrote
}

// stalled waits until n does not grow.
func stalled(t *testing.T, n *atomic.Int64) {
	t.Helper()
	last, same := int64(-1), 0
	poll.Until(t, "the writer waits", func() bool {
		now := n.Load()
		if same++; now != last || now == 0 {
			same = 0
		}
		last = now
		return same == 12 // the last ones 50 ms apart
	})
}

// Who does not read holds up who writes, in both directions, and what was
// written arrives when they do.
func TestBackpressure(t *testing.T) {
	const total, held = 64 << 20, 32 << 20 // what two sockets and we may hold is less than the half
	for _, direction := range []string{"to the client", "to the Worker"} {
		t.Run(direction, func(t *testing.T) {
			t.Parallel()
			reader, writer, _, _ := joined(t)
			if direction == "to the Worker" {
				reader, writer = writer, reader
			}
			var sent atomic.Int64
			written := sha256.New()
			go func() {
				defer writer.(interface{ CloseWrite() error }).CloseWrite()
				for p := make([]byte, 64<<10); sent.Load() < total; {
					rand.Read(p)
					written.Write(p)
					if _, err := writer.Write(p); err != nil {
						t.Error(err)
						return
					}
					sent.Add(int64(len(p)))
				}
			}()
			stalled(t, &sent)
			if n := sent.Load(); n > held {
				t.Errorf("%d bytes were taken for somebody who does not read", n)
			}
			read := sha256.New()
			if n, err := io.Copy(read, reader); n != total || err != nil {
				t.Errorf("%d bytes arrived, %v", n, err)
			}
			if string(read.Sum(nil)) != string(written.Sum(nil)) {
				t.Error("they are other ones")
			}
		})
	}
}

// Nor does a client that does not read its stream of events make us keep them.
func TestBackpressureOfAStream(t *testing.T) {
	const total, held = 64 << 20, 32 << 20
	var sent atomic.Int64
	hop := upstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for event := []byte("data: " + strings.Repeat("x", 16<<10-8) + "\n\n"); sent.Load() < total; {
			if _, err := w.Write(event); err != nil {
				t.Error(err)
				return
			}
			sent.Add(int64(len(event)))
		}
	}))
	server := front(t, hop, Call{})
	response, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stalled(t, &sent)
	if n := sent.Load(); n > held {
		t.Errorf("%d bytes were taken for somebody who does not read", n)
	}
	if n, err := io.Copy(io.Discard, response.Body); n != total || err != nil {
		t.Errorf("%d bytes arrived, %v", n, err)
	}
}
