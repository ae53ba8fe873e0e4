package d1

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// bookmarkHeader carries a session's bookmark both ways.
const bookmarkHeader = "X-Cf-D1-Session-Commit-Token"

// maxBody bounds the body of one call from a Worker, in bytes.
const maxBody = 100 << 20

// service answers the requests of workerd's D1 module for one database.
//
// Source: https://github.com/cloudflare/workerd/blob/main/src/cloudflare/internal/d1-api.ts
type service struct {
	db     *Database
	worker string
}

// Service is the handler behind the binding of the Worker with that name to d.
func Service(d *Database, worker string) http.Handler { return service{d, worker} }

// buffers are reused from call to call.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// ServeHTTP answers with status 200 whatever happened: workerd looks only at
// the body.
func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Date"] = nil
	exec := r.URL.Path == "/execute"
	switch {
	case r.URL.Path == "/dump" && r.Method == http.MethodPost:
		s.dump(w, r)
		return
	case !exec && r.URL.Path != "/query", r.Method != http.MethodPost:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"success":false,"error":"not found"}`)
		return
	}
	in, buf := takeBuffer(), takeBuffer()
	defer putBuffer(in)
	defer putBuffer(buf)
	layout := objects
	if strings.Contains(r.URL.RawQuery, "resultsFormat=ROWS_AND_COLUMNS") {
		layout = rowsAndColumns
	}
	out := newJSONOutput(layout, s.db.store.dir, buf.AvailableBuffer())
	defer out.close()
	of := demand{tenant: s.worker, body: r.ContentLength}
	if of.body < 0 {
		of.body = maxBody
	}
	var queries []query
	var batch bool
	err := s.db.store.withMemory(r.Context(), of, func(heap int64) (err error) {
		if queries == nil {
			if _, err := in.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
				return &Error{Message: "Can't read from request stream because client disconnected.", cause: err}
			}
			if queries, batch, err = decodeQueries(in.Bytes()); err != nil {
				return err
			}
		}
		out.reset()
		if err := s.db.run(r.Context(), heap, queries, false, out); err != nil {
			return err
		}
		s.send(w, r, out) // workerd takes it in its own time
		return nil
	})
	if err != nil {
		s.failed(w, r, err, exec && batch)
	}
	*buf = *bytes.NewBuffer(out.buf[:0]) // the pool gets the memory that the result grew
}

func (s service) send(w http.ResponseWriter, r *http.Request, out *jsonOutput) {
	h := w.Header()
	// Every connection of the database sees every acknowledged write, so the
	// bookmark that came with the request needs no waiting.
	if token := r.Header[bookmarkHeader]; token != nil {
		h[bookmarkHeader] = []string{s.db.mark()}
	}
	out.finish()
	h["Content-Length"] = []string{strconv.FormatInt(out.size(), 10)}
	out.WriteTo(w) // fails only when workerd has gone
}

func takeBuffer() *bytes.Buffer {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	return b
}

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= 1<<20 {
		buffers.Put(b)
	}
}

// decodeQueries reads one query or an array of them.
func decodeQueries(body []byte) (list []query, batch bool, err error) {
	body = bytes.TrimLeft(body, " \t\r\n")
	var wire []wireQuery
	if len(body) > 0 && body[0] == '[' {
		batch = true
		err = json.Unmarshal(body, &wire)
	} else {
		wire = make([]wireQuery, 1)
		err = json.Unmarshal(body, &wire[0])
	}
	if err != nil {
		return nil, batch, errorf("Invalid request: %v", err)
	}
	list = make([]query, len(wire))
	for i := range wire {
		list[i] = wire[i].query()
	}
	return list, batch, nil
}

// failed reports err. For exec, whose queries are lines, it is put where the
// line was, so that the Worker's error names it; elsewhere only the first
// element counts.
func (s service) failed(w http.ResponseWriter, r *http.Request, err error, lines bool) {
	var e *Error
	if !errors.As(err, &e) {
		if r.Context().Err() == nil {
			slog.Error("D1 call failed", "database", s.db.id, "error", err)
		}
		message := textInternal
		if errors.Is(err, ErrNotFound) {
			message = "The database " + s.db.id + " was deleted."
		}
		fail(w, message)
		return
	}
	if !lines || e.Query == 0 {
		fail(w, e.Message)
		return
	}
	body := []byte{'['}
	for range e.Query {
		body = append(body, `{"success":true,"results":[],"meta":{"duration":0}},`...)
	}
	body = append(body, `{"success":false,"error":`...)
	body = appendString(body, e.Message)
	w.Write(append(body, "}]"...))
}

func fail(w http.ResponseWriter, message string) {
	w.Write(append(appendString([]byte(`{"success":false,"error":`), message), '}'))
}

// dump answers with the database file.
func (s service) dump(w http.ResponseWriter, r *http.Request) {
	dir, err := os.MkdirTemp("", "selvage-d1-")
	if err == nil {
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "dump.sqlite")
		if err = s.db.Backup(r.Context(), path); err == nil {
			var f *os.File
			if f, err = os.Open(path); err == nil {
				defer f.Close()
				w.Header().Set("Content-Type", "application/octet-stream")
				io.Copy(w, f)
				return
			}
		}
	}
	slog.Error("D1 dump failed", "database", s.db.id, "error", err)
	w.WriteHeader(http.StatusInternalServerError)
	fail(w, "the database could not be dumped")
}
