// Package api holds the words of the REST API, version 4: the envelope, the
// errors and the shape of a route. Each binding brings its own routes; the
// control plane authenticates and mounts them.
//
// Source: https://developers.cloudflare.com/fundamentals/api/
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
)

// Route is one operation of the REST API.
type Route struct {
	// Method is GET, POST, …
	Method string
	// Path is a http.ServeMux path below /client/v4, for instance
	// "/accounts/{account}/storage/kv/namespaces/{namespace}/values/{key}".
	Path string
	// Scope is what a token must allow: "workers_kv", "d1", "workers_scripts", …
	Scope string
	// Edit: the token must allow editing, not only reading. Set it on everything
	// that changes state; such calls are written to the audit log.
	Edit bool
	// Open: no token is needed because the URL or a token of the route's own
	// is the credential.
	Open bool
	// Handle answers the request. A returned error becomes an error envelope.
	Handle func(w http.ResponseWriter, r *http.Request) error
}

// Error is an error of the REST API, with Cloudflare's code.
type Error struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Code is what clients act on.
	Code int `json:"code"`
	// Message is shown to the user.
	Message string `json:"message"`
	// Meta is further data that some clients read.
	Meta any `json:"meta,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s [code: %d]", e.Message, e.Code) }

// Errorf makes an Error.
func Errorf(status, code int, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Envelope is the body of every JSON answer.
type Envelope struct {
	Success  bool     `json:"success"`
	Result   any      `json:"result"`
	Errors   []*Error `json:"errors"`
	Messages []any    `json:"messages"`
	Info     *Info    `json:"result_info,omitempty"`
}

// Info is the pagination of a list.
type Info struct {
	Page       int      `json:"page,omitempty"`
	PerPage    int      `json:"per_page,omitempty"`
	Count      int      `json:"count"`
	TotalCount int      `json:"total_count,omitempty"`
	TotalPages int      `json:"total_pages,omitempty"`
	Cursor     string   `json:"cursor,omitempty"`
	Cursors    *Cursors `json:"cursors,omitempty"`
}

// Cursors is where some SDKs look for the cursor.
type Cursors struct {
	After string `json:"after,omitempty"`
}

// Write answers 200 with result in an envelope.
func Write(w http.ResponseWriter, result any) error { return WriteList(w, result, nil) }

// WriteFrom answers 200 with a result that is JSON already, and may be too large
// to be held in memory.
func WriteFrom(w http.ResponseWriter, result io.WriterTo) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	io.WriteString(w, `{"success":true,"result":`) // the client is gone if this fails
	if _, err := result.WriteTo(w); err != nil {
		return nil
	}
	io.WriteString(w, `,"errors":[],"messages":[]}`+"\n")
	return nil
}

// WriteList answers 200 with result and its pagination.
func WriteList(w http.ResponseWriter, result any, info *Info) error {
	send(w, http.StatusOK, &Envelope{Success: true, Result: result, Info: info})
	return nil
}

// WriteError answers with err in an envelope. An error that is not an *Error
// becomes code 10013 without detail; the caller logs it.
func WriteError(w http.ResponseWriter, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = Errorf(http.StatusInternalServerError, 10013, "internal error; the server's log has the details")
	}
	send(w, e.Status, &Envelope{Errors: []*Error{e}})
}

func send(w http.ResponseWriter, status int, e *Envelope) {
	if e.Errors == nil {
		e.Errors = []*Error{}
	}
	if e.Messages == nil {
		e.Messages = []any{}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(e) // the client is gone if this fails
}

// MaxBody is the largest JSON body that Decode reads, in bytes.
const MaxBody = 100 << 20

// Decode reads the JSON body into v whatever its content type says: clients
// send JSON as text/plain.
func Decode(r *http.Request, v any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return Errorf(http.StatusBadRequest, 10001, "read request body: %v", err)
	}
	if len(data) > MaxBody {
		return Errorf(http.StatusRequestEntityTooLarge, 10001, "request body is over %d bytes", MaxBody)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return Errorf(http.StatusBadRequest, 10001, "request body is not valid: %v", Explain(err))
	}
	return nil
}

// Explain puts an error of encoding/json into words of JSON instead of Go.
func Explain(err error) error {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	where := wrong.Field
	if where == "" {
		where = "the value"
	}
	return fmt.Errorf("%s must be %s, not %s", where, jsonType(wrong.Type), wrong.Value)
}

func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// Paginate cuts list to the page that the query's page and per_page ask for
// and describes it. A page past the end is empty. per_page defaults to
// perPage and is capped at 1000.
func Paginate[T any](r *http.Request, list []T, perPage int) ([]T, *Info) {
	page := queryInt(r, "page", 1)
	size := min(queryInt(r, "per_page", perPage), 1000)
	start := min((page-1)*size, len(list))
	end := min(start+size, len(list))
	cut := list[start:end]
	if cut == nil {
		cut = []T{}
	}
	return cut, &Info{Page: page, PerPage: size, Count: len(cut), TotalCount: len(list), TotalPages: (len(list) + size - 1) / size}
}

func queryInt(r *http.Request, name string, fallback int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil || n < 1 || n > 1<<30 {
		return fallback
	}
	return n
}
