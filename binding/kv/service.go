package kv

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/hop/ask"
	"github.com/selvage-edge/selvage/storage/blob"
)

// Handler speaks the protocol of workerd's KvNamespace for one namespace.
//
//	GET    /<key>?urlencoded=true[&cache_ttl=N]                   value, or 404
//	PUT    /<key>?urlencoded=true[&expiration=S][&expiration_ttl=S]
//	DELETE /<key>?urlencoded=true
//	GET    /?[key_count_limit=N][&prefix=P][&cursor=C]            list
//	POST   /bulk/get
//
// Metadata travels as JSON in the header CF-KV-Metadata. The reason phrase of
// an error is what the Worker's exception says.
//
// Source: https://github.com/cloudflare/workerd/blob/main/src/workerd/api/kv.c++
//
// kv.js also sends GET /<key>?urlencoded=true&short, for a value without anything
// else, and takes it in a header, see package ask.
//
// worker is the Worker on whose behalf it is.
func (n *Namespace) Handler(worker string) http.Handler { return service{n, worker} }

type service struct {
	n      *Namespace
	worker string
}

const shortQuery = "urlencoded=true&short"

const metadataHeader = "Cf-Kv-Metadata"

// maxBulkGetBody bounds the request body of a bulk get: 100 keys of 512 bytes,
// each byte escaped, and the options.
const maxBulkGetBody = 1 << 20

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	// net/http would add both, and workerd would show them to nobody.
	h["Date"], h["Content-Type"] = nil, nil
	path := r.URL.EscapedPath()
	var err error
	switch {
	case path == "/bulk/get" && r.Method == http.MethodPost:
		err = s.bulkGet(w, r)
	case path == "/" && r.Method == http.MethodGet && !strings.Contains(r.URL.RawQuery, "urlencoded="):
		err = s.list(w, r)
	case r.Method == http.MethodGet:
		err = s.get(w, r, path)
	case r.Method == http.MethodPut:
		err = s.put(w, r, path)
	case r.Method == http.MethodDelete:
		err = s.delete(r, path)
	default:
		err = refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrNotFound):
		h["Content-Length"] = zero
		w.WriteHeader(http.StatusNotFound)
	default:
		s.fail(w, r, err)
	}
}

var zero = []string{"0"}

// key reads the key and the parameters of a request.
func key(r *http.Request, path string) (string, url.Values, error) {
	name := strings.TrimPrefix(path, "/")
	var q url.Values
	if r.URL.RawQuery != "urlencoded=true" && r.URL.RawQuery != shortQuery { // all that most requests have
		q = r.URL.Query()
		if !strings.EqualFold(q.Get("urlencoded"), "true") {
			return name, q, nil
		}
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return "", nil, refuse(http.StatusBadRequest, "Could not URL-decode key name")
	}
	return name, q, nil
}

func (s service) get(w http.ResponseWriter, r *http.Request, path string) error {
	name, q, err := key(r, path)
	if err != nil {
		return err
	}
	if q.Has("cache_ttl") {
		if err := checkCacheTTL(q.Get("cache_ttl")); err != nil {
			return err
		}
	}
	sc := scratches.Get().(*scratch)
	defer scratches.Put(sc)
	rec, file, err := s.n.find(r.Context(), name, sc.key, sc.rec)
	if err != nil {
		return err
	}
	if r.URL.RawQuery == shortQuery && file == nil && ask.Text(w, rec.value) {
		return nil
	}
	h := w.Header()
	if rec.metadata != nil {
		h[metadataHeader] = []string{string(rec.metadata)}
	}
	if rec.expires != 0 {
		h["Cf-Expiration"] = []string{strconv.FormatInt(rec.expires, 10)}
	}
	h["Content-Length"] = []string{strconv.FormatInt(rec.size, 10)}
	if file == nil {
		w.Write(rec.value) // fails only when workerd has gone
		return nil
	}
	defer file.Close()
	// A short body makes net/http close the connection.
	if _, err := io.Copy(w, file); errors.Is(err, blob.ErrDamaged) {
		s.n.store.log.Error("value", "namespace", s.n.id, "key", name, "err", err)
	}
	return nil
}

func (s service) put(w http.ResponseWriter, r *http.Request, path string) error {
	name, q, err := key(r, path)
	if err != nil {
		return err
	}
	var o PutOptions
	if q != nil {
		if err := o.parseExpiry(q.Get("expiration"), q.Get("expiration_ttl")); err != nil {
			return err
		}
	}
	if m := r.Header[metadataHeader]; len(m) > 0 {
		o.Metadata = json.RawMessage(m[0])
	}
	if err := s.n.put(r.Context(), name, r.Body, r.ContentLength, o); err != nil {
		return err
	}
	w.Header()["Content-Length"] = zero
	return nil
}

func (s service) delete(r *http.Request, path string) error {
	name, _, err := key(r, path)
	if err != nil {
		return err
	}
	return s.n.Delete(r.Context(), name)
}

// listReply is the answer to a list. Metadata is a string of JSON, because
// workerd parses strings a second time.
type listReply struct {
	Keys     []listKey `json:"keys"`
	Complete bool      `json:"list_complete"`
	Cursor   string    `json:"cursor,omitempty"`
}

type listKey struct {
	Name       string `json:"name"`
	Expiration int64  `json:"expiration,omitempty"`
	Metadata   string `json:"metadata,omitempty"`
}

func (s service) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	o := ListOptions{Prefix: q.Get("prefix"), Cursor: q.Get("cursor")}
	if q.Has("key_count_limit") {
		n, ok := leadingInt(q.Get("key_count_limit"))
		if !ok {
			return refuse(http.StatusBadRequest, "Invalid key_count_limit of NaN. Please specify an integer greater than 0.")
		}
		if err := checkLimit(int(n)); err != nil {
			return err
		}
		o.Limit = int(n)
	}
	lease, err := s.n.store.lend(r.Context(), s.worker, listBytes)
	if err != nil {
		return err
	}
	defer lease.Release()
	page, err := s.n.List(r.Context(), o)
	if err != nil {
		return err
	}
	reply := listReply{Keys: make([]listKey, len(page.Keys)), Complete: page.Cursor == "", Cursor: page.Cursor}
	for i, k := range page.Keys {
		reply.Keys[i] = listKey{Name: k.Name, Metadata: string(k.Metadata)}
		if !k.Expiration.IsZero() {
			reply.Keys[i].Expiration = k.Expiration.Unix()
		}
	}
	return writeJSON(w, reply)
}

func (s service) bulkGet(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBulkGetBody+1))
	if err != nil {
		return err
	}
	var req bulkRequest
	if len(body) > maxBulkGetBody || json.Unmarshal(body, &req) != nil {
		return refuse(http.StatusBadRequest, "Could not parse the bulk get request")
	}
	return req.answer(r.Context(), s.n, s.worker, func(values io.WriterTo) error {
		values.WriteTo(w) // fails only when workerd has gone
		return nil
	})
}

func writeJSON(w http.ResponseWriter, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(data))}
	w.Write(data) // fails only when workerd has gone
	return nil
}

// failTimeout bounds how long an error waits for a peer that does not read.
const failTimeout = 10 * time.Second

// fail answers with an error. net/http cannot set a reason phrase, which is
// all that the Worker sees, so the answer is written by hand.
func (s service) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, text := http.StatusInternalServerError, "Internal Server Error"
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
		status, text = refusal.Status, refusal.Text
	case errors.Is(err, ErrNamespaceNotFound):
		status, text = http.StatusNotFound, "Namespace Not Found"
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the Worker has gone: no answer could be right
	default:
		s.n.store.log.Error("a KV request failed", "namespace", s.n.id, "method", r.Method, "error", err)
	}
	// A peer that is still sending would lose the answer to the closing of the
	// connection.
	io.CopyN(io.Discard, r.Body, maxDrain)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // not a plain connection: in a test or over h2
		w.WriteHeader(status)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(failTimeout))
	io.WriteString(conn, "HTTP/1.1 "+strconv.Itoa(status)+" "+reason(text)+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

// reason makes text fit for a status line.
func reason(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text)
}
