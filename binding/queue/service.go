package queue

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Handler speaks the protocol of workerd's queue producers.
//
//	POST /message   body; X-Msg-Fmt: content type, X-Msg-Delay-Secs
//	POST /batch     {"messages":[{"body":base64,"contentType"?,"delaySecs"?}]};
//	                X-Msg-Delay-Secs: delay of messages without their own
//	GET  /metrics
//
// The reason phrase of an error is what the Worker's exception says, and from
// compatibility date 2026-03-12 the headers CF-Queues-Error-Cause and -Code.
//
// Source: https://github.com/cloudflare/workerd/blob/main/src/workerd/api/queue.c++
func (p *Producer) Handler() http.Handler { return service{p} }

type service struct{ p *Producer }

const (
	formatHeader = "X-Msg-Fmt"
	delayHeader  = "X-Msg-Delay-Secs"
)

// maxBatchBody bounds the request of a batch: its bodies in base64, and what
// else is said of a hundred messages.
const maxBatchBody = 512 << 10

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// net/http would add it, and workerd would show it to nobody.
	w.Header()["Date"] = nil
	var err error
	switch r.Method + " " + r.URL.Path {
	case "POST /message":
		err = s.message(r)
	case "POST /batch":
		err = s.batch(r)
	case "GET /metrics":
		writeJSON(w, s.p.Metrics().json())
		return
	default:
		err = refuse(http.StatusNotFound, codeUnknown, "no such operation")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, map[string]any{"metadata": map[string]any{"metrics": s.p.Metrics().json()}})
}

func (s service) message(r *http.Request) error {
	m := Message{ContentType: format(r.Header.Get(formatHeader))}
	var err error
	if m.Delay, err = parseDelay(r.Header.Get(delayHeader), codeMetadata, "message"); err != nil {
		return err
	}
	if m.Body, err = io.ReadAll(io.LimitReader(r.Body, MaxMessageBytes+1)); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if len(m.Body) > MaxMessageBytes {
		return refuse(http.StatusRequestEntityTooLarge, codeMessageSize, "message length of %d bytes exceeds limit of %d",
			max(r.ContentLength, int64(len(m.Body))), MaxMessageBytes)
	}
	return s.p.Send(r.Context(), m)
}

// format is the content type that a message without one has: that of
// compatibility dates before 2024-03-18, which do not say any.
func format(name string) ContentType {
	if name == "" {
		return V8
	}
	return ContentType(name)
}

// parseDelay reads a delay in seconds; an empty one is none.
func parseDelay(text string, code int, what string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, refuseDelay(code, what, strconv.Quote(text))
	}
	return delayOf(n, code, what)
}

func delayOf(seconds int64, code int, what string) (time.Duration, error) {
	switch {
	case seconds < 0 || seconds > int64(MaxDelay/time.Second):
		return 0, refuseDelay(code, what, seconds)
	case seconds == 0:
		return NoDelay, nil
	}
	return time.Duration(seconds) * time.Second, nil
}

func (s service) batch(r *http.Request) error {
	delay, err := parseDelay(r.Header.Get(delayHeader), codeBatchDelay, "batch")
	if err != nil {
		return err
	}
	// What the runtime counted is told before anything is read.
	for _, limit := range []struct {
		header string
		max    int64
		code   int
		text   string
	}{
		{"Cf-Queue-Batch-Count", MaxBatchMessages, codeBatchCount, "batch message count of %d exceeds limit of %d"},
		{"Cf-Queue-Largest-Msg", MaxMessageBytes, codeMessageSize, "message in batch has length %d bytes which exceeds single message size limit of %d"},
		{"Cf-Queue-Batch-Bytes", MaxBatchBytes, codeBatchSize, "batch size of %d bytes exceeds limit of %d"},
	} {
		if n, err := strconv.ParseInt(r.Header.Get(limit.header), 10, 64); err == nil && n > limit.max {
			return refuse(http.StatusRequestEntityTooLarge, limit.code, limit.text, n, limit.max)
		}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBatchBody+1))
	if err != nil {
		return fmt.Errorf("read batch: %w", err)
	}
	list, err := parseBatch(body, delay)
	if err != nil {
		return err
	}
	return s.p.SendBatch(r.Context(), list)
}

// parseBatch reads the body of a batch.
func parseBatch(body []byte, delay time.Duration) ([]Message, error) {
	if len(body) > maxBatchBody {
		return nil, refuse(http.StatusRequestEntityTooLarge, codeBatchSize, "batch size of %d bytes exceeds limit of %d", len(body), MaxBatchBytes)
	}
	var batch struct {
		Messages []struct {
			Body        string `json:"body"`
			ContentType string `json:"contentType"`
			Delay       *int64 `json:"delaySecs"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		return nil, refuse(http.StatusBadRequest, codeJSON, "batch is not valid JSON: %v", err)
	}
	list := make([]Message, len(batch.Messages))
	for i, m := range batch.Messages {
		data, err := base64.StdEncoding.DecodeString(m.Body)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, codeBody, "the body of message %d is not valid base64", i)
		}
		list[i] = Message{Body: data, ContentType: format(m.ContentType), Delay: delay}
		if m.Delay != nil {
			if list[i].Delay, err = delayOf(*m.Delay, codeMetadata, "message"); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // numbers and strings
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(data))}
	w.Write(data) // fails only when workerd has gone
}

// Bounds of an error's answer to a peer that goes on sending, or does not read.
const (
	maxDrain    = 1 << 20
	failTimeout = 10 * time.Second
)

// fail answers with an error. net/http cannot set a reason phrase, which is
// what Workers of older compatibility dates see, so that the answer is written
// by hand to the hijacked connection.
func (s service) fail(w http.ResponseWriter, r *http.Request, err error) {
	refusal := &Error{http.StatusInternalServerError, codeUnknown, "Unknown Internal Error"}
	switch {
	case errors.As(err, &refusal):
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the Worker has gone: no answer could be right
	default:
		s.p.q.store.log.Error("a message could not be sent", "queue", s.p.q.Name(), "err", err)
	}
	// A peer that is still sending would lose the answer to the closing of the
	// connection.
	io.CopyN(io.Discard, r.Body, maxDrain)
	text := line(refusal.Text)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // not a plain connection: in a test
		w.Header().Set("Cf-Queues-Error-Code", strconv.Itoa(refusal.Code))
		w.Header().Set("Cf-Queues-Error-Cause", text)
		w.WriteHeader(refusal.Status)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(failTimeout))
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nCF-Queues-Error-Code: %d\r\nCF-Queues-Error-Cause: %[2]s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		refusal.Status, text, refusal.Code)
}

// line makes text fit for a status line and a header.
func line(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f {
			return ' '
		}
		return c
	}, text)
}
