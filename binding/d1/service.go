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

	"github.com/selvage-edge/selvage/hop/ask"
)

// bookmarkHeader carries a session's bookmark both ways.
const bookmarkHeader = "X-Cf-D1-Session-Commit-Token"

// maxBody bounds the body of one call from a Worker, in bytes.
const maxBody = 100 << 20

// service answers the requests of our D1 module, d1.js, for one database.
//
//	/all, /raw, /first   one query, {"sql":"…","params":[…]}, or an array of them
//	/exec                an array of queries
//	/…/session           the same in a session: the bookmark ends the answer
//	POST /dump           the database file
//
// The answer is an array in one of the formats, or {"error":"…","query":0}.
//
// It also answers those of the runtime's own module, /query and /execute, which
// the tests compare with ours.
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

// formats are those of our module's operations.
var formats = map[string]format{"/all": objects, "/raw": rawRows, "/first": firstRow, "/exec": durations}

// ServeHTTP answers with success whatever happened: the modules look only at
// the answer's text.
func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, session := strings.CutSuffix(r.URL.Path, "/session")
	if f, ok := formats[operation]; ok {
		s.answer(w, r, f, session)
		return
	}
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Date"] = nil
	switch {
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"success":false,"error":"not found"}`)
	case operation == "/dump":
		s.dump(w, r)
	case operation == "/query", operation == "/execute":
		s.reply(w, r, operation == "/execute")
	default:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"success":false,"error":"not found"}`)
	}
}

// answer is what our module gets.
func (s service) answer(w http.ResponseWriter, r *http.Request, f format, session bool) {
	_, err := s.run(w, r, f, func(out *jsonOutput) {
		if session {
			// Every connection of the database sees every acknowledged write, so the
			// session's bookmark needs no waiting.
			out.buf = appendString(append(out.buf, ','), s.db.mark())
		}
		out.finish()
		if out.moved == 0 {
			ask.Answer(w, out.buf)
		} else {
			send(w, out)
		}
	})
	if err != nil {
		message, query := s.message(r, err)
		body := appendString([]byte(`{"error":`), message)
		ask.Answer(w, append(strconv.AppendInt(append(body, `,"query":`...), int64(query), 10), '}'))
	}
}

// reply is what the runtime's module gets. For exec, whose queries are lines, an
// error is put where the line was, so that the Worker's error names it;
// elsewhere only the first element counts.
func (s service) reply(w http.ResponseWriter, r *http.Request, exec bool) {
	f := objects
	if strings.Contains(r.URL.RawQuery, "resultsFormat=ROWS_AND_COLUMNS") {
		f = rowsAndColumns
	}
	batch, err := s.run(w, r, f, func(out *jsonOutput) {
		if token := r.Header[bookmarkHeader]; token != nil {
			w.Header()[bookmarkHeader] = []string{s.db.mark()}
		}
		out.finish()
		send(w, out)
	})
	if err == nil {
		return
	}
	message, query := s.message(r, err)
	if !exec || !batch || query == 0 {
		fail(w, message)
		return
	}
	body := []byte{'['}
	for range query {
		body = append(body, `{"success":true,"results":[],"meta":{"duration":0}},`...)
	}
	body = append(body, `{"success":false,"error":`...)
	body = appendString(body, message)
	w.Write(append(body, "}]"...))
}

// run runs what a request asks for and gives the results to done, which sends
// them. batch: there was an array of queries.
func (s service) run(w http.ResponseWriter, r *http.Request, f format, done func(*jsonOutput)) (batch bool, err error) {
	buf := takeBuffer()
	defer putBuffer(buf)
	out := newJSONOutput(f, s.db.store.dir, buf.AvailableBuffer())
	defer out.close()
	of := demand{tenant: s.worker, body: r.ContentLength}
	if of.body < 0 {
		of.body = maxBody
	}
	var queries []query
	err = s.db.store.withMemory(r.Context(), of, func(heap int64) (err error) {
		if queries == nil {
			question, err := ask.Question(r, maxBody)
			if err != nil {
				return &Error{Message: "Can't read from request stream because client disconnected.", cause: err}
			}
			if queries, batch, err = decodeQueries(question); err != nil {
				return err
			}
		}
		out.reset()
		if err := s.db.run(r.Context(), heap, queries, false, out); err != nil {
			return err
		}
		done(out) // workerd takes it in its own time
		return nil
	})
	*buf = *bytes.NewBuffer(out.buf[:0]) // the pool gets the memory that the result grew
	return batch, err
}

// send sends results in a body.
func send(w http.ResponseWriter, out *jsonOutput) {
	w.Header()["Content-Length"] = []string{strconv.FormatInt(out.size(), 10)}
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

// message is what a Worker is told of an error, and which query it is about.
func (s service) message(r *http.Request, err error) (text string, query int) {
	var e *Error
	if errors.As(err, &e) {
		if ofDisk(err) {
			slog.Error("a D1 database cannot be read or written: its disk is full, or failing", "database", s.db.id, "error", err)
		}
		return e.Message, e.Query
	}
	if errors.Is(err, ErrNotFound) {
		text = "The database " + s.db.id + " was deleted."
	} else {
		text = textInternal
	}
	if r.Context().Err() == nil {
		slog.Error("D1 call failed", "database", s.db.id, "error", err)
	}
	return text, 0
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
