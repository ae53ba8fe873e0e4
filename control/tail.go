package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/control/auth"
	"github.com/selvage-edge/selvage/control/state"
	"github.com/selvage-edge/selvage/telemetry"
)

const (
	// MaxTails is the number of live tails of one Worker.
	MaxTails = 10
	// tailLife is how long a tail waits for its client.
	tailLife = time.Hour
	// tailBuffer is how many events wait for a slow client; more are dropped
	// and the client is told.
	tailBuffer = 1000
	// tokenCheck is how often a quiet tail asks whether its token is still good;
	// a busy one asks with each event.
	tokenCheck = time.Second
)

// tail is a live log of one Worker for one client.
type tail struct {
	id, worker string
	expires    time.Time
	filters    filters
	// by is who started it; the tail ends with their token.
	by auth.Identity
	// done is closed when the tail is deleted.
	done      chan struct{}
	connected bool
}

// tails are the live logs; they end with the process. The zero value is ready.
type tails struct {
	mu sync.Mutex
	id map[string]*tail
}

func (t *tails) add(x *tail, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for id, old := range t.id {
		if !old.connected && now.After(old.expires) {
			delete(t.id, id)
		} else if old.worker == x.worker {
			n++
		}
	}
	if n >= MaxTails {
		return api.Errorf(http.StatusTooManyRequests, 10060, "the Worker %q has %d live tails already, which is the limit", x.worker, MaxTails)
	}
	if t.id == nil {
		t.id = map[string]*tail{}
	}
	t.id[x.id] = x
	return nil
}

// connect returns the tail if its client may connect: once, and in time.
func (t *tails) connect(id string, now time.Time) *tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.id[id]
	if x == nil || x.connected || now.After(x.expires) {
		return nil
	}
	x.connected = true
	return x
}

// remove ends a tail and reports whether there was one.
func (t *tails) remove(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.id[id]
	if x == nil {
		return false
	}
	delete(t.id, id)
	close(x.done)
	return true
}

// drop ends all tails of a Worker.
func (t *tails) drop(worker string) {
	for _, x := range t.of(worker) {
		t.remove(x.id)
	}
}

func (t *tails) of(worker string) (list []*tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.id {
		if x.worker == worker {
			list = append(list, x)
		}
	}
	return list
}

// startTail makes a tail and answers with the URL of its WebSocket, which is
// all that is needed to read it.
func (s *server) startTail(w http.ResponseWriter, r *http.Request) error {
	if s.Tail == nil {
		return badRequest(10057, "this server has no live logs")
	}
	var body struct {
		Filters filters `json:"filters"`
	}
	if r.ContentLength != 0 {
		if err := api.Decode(r, &body); err != nil {
			return err
		}
	}
	if err := body.Filters.check(client(r)); err != nil {
		return err
	}
	if err := s.view(r, func(tx *state.Tx) error { _, err := s.worker(tx, r); return err }); err != nil {
		return err
	}
	now := s.state.Now()
	t := &tail{id: state.NewID(), worker: r.PathValue("script"), expires: now.Add(tailLife), filters: body.Filters, by: identity(r), done: make(chan struct{})}
	if err := s.tails.add(t, now); err != nil {
		return err
	}
	scheme := "ws"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "wss"
	}
	return api.Write(w, map[string]any{
		"id": t.id, "url": fmt.Sprintf("%s://%s/client/v4/tails/%s", scheme, r.Host, t.id), "expires_at": t.expires.Format(time.RFC3339),
	})
}

func (s *server) listTails(w http.ResponseWriter, r *http.Request) error {
	list := []map[string]any{}
	for _, t := range s.tails.of(r.PathValue("script")) {
		list = append(list, map[string]any{"id": t.id, "expires_at": t.expires.Format(time.RFC3339)})
	}
	return api.Write(w, list)
}

func (s *server) stopTail(w http.ResponseWriter, r *http.Request) error {
	if !s.tails.remove(r.PathValue("tail")) {
		return api.Errorf(http.StatusNotFound, 10059, "this Worker has no live tail with the id %s", r.PathValue("tail"))
	}
	return api.Write(w, nil)
}

// listTailProducers lists the Workers whose tail events go to a Worker.
func (s *server) listTailProducers(w http.ResponseWriter, r *http.Request) error {
	list := []map[string]any{}
	err := s.view(r, func(tx *state.Tx) error {
		workers, err := tx.Workers()
		for _, x := range workers {
			var consumers []struct{ Service string }
			if len(x.TailConsumers) == 0 || json.Unmarshal(x.TailConsumers, &consumers) != nil {
				continue
			}
			for _, c := range consumers {
				if c.Service == r.PathValue("script") {
					list = append(list, map[string]any{"producer": x.Name})
				}
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return api.Write(w, list)
}

// serveTail sends the events of a tail as WebSocket messages.
func (s *server) serveTail(w http.ResponseWriter, r *http.Request) error {
	t := s.tails.connect(r.PathValue("tail"), s.state.Now())
	if t == nil {
		return api.Errorf(http.StatusNotFound, 10059, "there is no such tail, or its time is over; start a new one")
	}
	defer s.tails.remove(t.id)
	conn, err := upgrade(w, r, "trace-v1")
	if err != nil {
		return err
	}
	defer conn.conn.Close()
	events := make(chan telemetry.Invocation, tailBuffer)
	var mu sync.Mutex
	dropped := 0
	cancel := s.Tail(t.worker, func(i telemetry.Invocation) {
		if !t.filters.match(&i) {
			return
		}
		select {
		case events <- i:
		default:
			mu.Lock()
			dropped++
			mu.Unlock()
		}
	})
	defer cancel()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		conn.serve() // an error here means that the client has gone
	}()
	check := time.NewTicker(tokenCheck)
	defer check.Stop()
	for {
		var event *telemetry.Invocation
		select {
		case i := <-events:
			event = &i
		case <-check.C:
		case <-t.done:
			conn.close(1000, "")
			return nil
		case <-gone:
			return nil
		}
		if err := s.Auth.Still(context.WithoutCancel(r.Context()), t.by); err != nil {
			if !errors.Is(err, auth.ErrWrong) && !errors.Is(err, auth.ErrExpired) {
				s.Log.Error("tail", "err", err)
			}
			conn.close(1008, "the API token is no longer good")
			return nil
		}
		if event == nil {
			continue
		}
		if conn.write(opText, eventJSON(*event)) != nil {
			return nil // the client has gone; there is no one to tell
		}
		mu.Lock()
		n := dropped
		dropped = 0
		mu.Unlock()
		if n > 0 && conn.write(opText, overload(n)) != nil {
			return nil
		}
	}
}

// eventJSON is an invocation as clients read it: both lists must be there.
func eventJSON(i telemetry.Invocation) []byte {
	if i.Logs == nil {
		i.Logs = []telemetry.Log{}
	}
	if i.Exceptions == nil {
		i.Exceptions = []telemetry.Exception{}
	}
	data, err := json.Marshal(i)
	if err != nil {
		// An event or message that is not JSON: the rest can still be shown.
		i.Event, i.Logs = nil, []telemetry.Log{}
		data, _ = json.Marshal(i)
	}
	return data
}

func overload(n int) []byte {
	event, _ := json.Marshal(map[string]any{"type": "overload", "message": fmt.Sprintf("Tail is slower than the Worker: %d events were left out.", n)})
	return eventJSON(telemetry.Invocation{Outcome: "unknown", Event: event, EventTimestamp: time.Now().UnixMilli()})
}
