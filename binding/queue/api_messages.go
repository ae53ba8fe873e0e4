package queue

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/selvage-edge/selvage/api"
)

// maxBody bounds the request of operations on messages: a batch whose bytes are
// all escaped, or the leases of many.
const maxBody = 4 << 20

// decode reads the JSON of an operation on messages.
func decode(r *http.Request, v any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return refuse(http.StatusBadRequest, codeJSON, "the request's body cannot be read: %v", err)
	}
	return parse(data, v)
}

func parse(data []byte, v any) error {
	if len(data) > maxBody {
		return refuse(http.StatusRequestEntityTooLarge, codeBatchSize, "the request's body is over %d bytes", maxBody)
	}
	err := json.Unmarshal(data, v)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return refuse(http.StatusBadRequest, codeJSON, "the request's body is not valid JSON: %v", err)
	}
	return refuse(http.StatusBadRequest, codeBody, "the request's body does not fit: %v", api.Explain(err))
}

// message is what m asks to be sent. A body of type json is any JSON; of text,
// a string; of bytes and v8, a string of base64.
func (m messageRequest) message(delay time.Duration) (Message, error) {
	out := Message{Body: m.Body, ContentType: m.ContentType, Delay: delay}
	if out.ContentType == "" {
		out.ContentType = JSON
	}
	if out.ContentType.code() < 0 {
		return out, refuseType(string(m.ContentType))
	}
	if len(m.Body) == 0 {
		return out, refuse(http.StatusBadRequest, codeBody, "the message has no body")
	}
	if m.Delay != nil {
		var err error
		if out.Delay, err = delayOf(*m.Delay, codeMetadata, "message"); err != nil {
			return out, err
		}
	}
	if out.ContentType == JSON {
		var compact bytes.Buffer
		if err := json.Compact(&compact, m.Body); err != nil {
			return out, refuse(http.StatusBadRequest, codeJSON, "the message's body is not valid JSON: %v", err)
		}
		out.Body = compact.Bytes()
		return out, nil
	}
	var text string
	if err := json.Unmarshal(m.Body, &text); err != nil {
		return out, refuse(http.StatusBadRequest, codeBody, "the body of a message of type %s must be a string", out.ContentType)
	}
	out.Body = []byte(text)
	if out.ContentType != Text {
		var err error
		if out.Body, err = base64.StdEncoding.DecodeString(text); err != nil {
			return out, refuse(http.StatusBadRequest, codeBody, "the body of a message of type %s must be base64", out.ContentType)
		}
	}
	return out, nil
}

// backlog are a queue's metrics as the API shows them.
type backlog struct {
	Count  int64 `json:"backlog_count"`
	Bytes  int64 `json:"backlog_bytes"`
	Oldest int64 `json:"oldest_message_timestamp_ms"`
}

type metadata struct {
	Metrics backlog `json:"metrics"`
}

func (q *Queue) metadata() metadata { return metadata{backlog(q.Metrics().json())} }

func (a rest) push(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	var req messageRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	m, err := req.message(0)
	if err != nil {
		return err
	}
	if err := q.Producer(-1).Send(r.Context(), m); err != nil {
		return err
	}
	return api.Write(w, map[string]any{"metadata": q.metadata()})
}

func (a rest) pushBatch(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return refuse(http.StatusBadRequest, codeJSON, "the request's body cannot be read: %v", err)
	}
	list, err := parsePush(data)
	if err != nil {
		return err
	}
	if err := q.Producer(-1).SendBatch(r.Context(), list); err != nil {
		return err
	}
	return api.Write(w, map[string]any{"metadata": q.metadata()})
}

// parsePush reads the messages of a batch.
func parsePush(data []byte) ([]Message, error) {
	var req struct {
		Messages []messageRequest `json:"messages"`
		Delay    *int64           `json:"delay_seconds"`
	}
	if err := parse(data, &req); err != nil {
		return nil, err
	}
	delay := time.Duration(0)
	if req.Delay != nil {
		var err error
		if delay, err = delayOf(*req.Delay, codeBatchDelay, "batch"); err != nil {
			return nil, err
		}
	}
	list := make([]Message, len(req.Messages))
	for i, m := range req.Messages {
		var err error
		if list[i], err = m.message(delay); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// pulledReply is a message that was pulled. Bodies other than text are base64.
type pulledReply struct {
	ID       string            `json:"id"`
	Sent     int64             `json:"timestamp_ms"`
	Attempts int               `json:"attempts"`
	Body     string            `json:"body"`
	Metadata map[string]string `json:"metadata"`
	Lease    string            `json:"lease_id"`
}

// pull leases messages. The documentation calls the lease's time
// visibility_timeout, the SDKs visibility_timeout_ms; both are milliseconds.
func (a rest) pull(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	var req struct {
		Size       *int   `json:"batch_size"`
		Visibility *int64 `json:"visibility_timeout_ms"`
		Documented *int64 `json:"visibility_timeout"`
	}
	if err := decode(r, &req); err != nil {
		return err
	}
	if req.Visibility == nil {
		req.Visibility = req.Documented
	}
	n, visibility := 0, time.Duration(0)
	if req.Size != nil {
		if n = *req.Size; n == 0 {
			n = -1 // refused: 0 is not the default
		}
	}
	if req.Visibility != nil {
		if *req.Visibility < 1 || *req.Visibility > MaxVisibility.Milliseconds() {
			return refuse(http.StatusBadRequest, codeBody, "visibility_timeout_ms is %d; it must be 1 to %d", *req.Visibility, MaxVisibility.Milliseconds())
		}
		visibility = time.Duration(*req.Visibility) * time.Millisecond
	}
	list, err := q.Pull(n, visibility)
	if err != nil {
		return err
	}
	replies := make([]pulledReply, len(list))
	for i, m := range list {
		replies[i] = pulledReply{
			m.ID, m.Sent.UnixMilli(), m.Attempts, shown(m.ContentType, m.Body),
			map[string]string{"CF-Content-Type": string(m.ContentType)}, m.Lease,
		}
	}
	meta := q.metadata()
	return api.Write(w, map[string]any{"messages": replies, "message_backlog_count": meta.Metrics.Count, "metadata": meta})
}

// shown is a body as the API shows it.
func shown(t ContentType, body []byte) string {
	if t == Text {
		return string(body)
	}
	return base64.StdEncoding.EncodeToString(body)
}

// peekedReply is a message that somebody looks at.
type peekedReply struct {
	ID       string            `json:"id"`
	Sent     int64             `json:"timestamp_ms"`
	Attempts int               `json:"attempts"`
	Body     string            `json:"body"`
	Metadata map[string]string `json:"metadata"`
	Ref      string            `json:"ref"`
}

// peek shows messages without leasing them.
func (a rest) peek(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	var req struct {
		Size *int `json:"batch_size"`
	}
	if err := decode(r, &req); err != nil {
		return err
	}
	n := 0
	if req.Size != nil {
		if n = *req.Size; n == 0 {
			n = -1 // refused: 0 is not the default
		}
	}
	list, err := q.Peek(n)
	if err != nil {
		return err
	}
	replies := make([]peekedReply, len(list))
	for i, m := range list {
		replies[i] = peekedReply{m.ID, m.Sent.UnixMilli(), m.Attempts, shown(m.ContentType, m.Body), map[string]string{"CF-Content-Type": string(m.ContentType)}, m.Ref}
	}
	return api.Write(w, map[string]any{"messages": replies})
}

// purgeMessages deletes messages by what peek calls them.
func (a rest) purgeMessages(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	var req struct {
		Messages []struct {
			Ref string `json:"ref"`
		} `json:"messages"`
	}
	if err := decode(r, &req); err != nil {
		return err
	}
	if len(req.Messages) == 0 || len(req.Messages) > MaxBatchMessages {
		return refuse(http.StatusBadRequest, codeBody, "messages has %d entries; it must have 1 to %d, each with the ref of a message", len(req.Messages), MaxBatchMessages)
	}
	var refs []string
	for _, m := range req.Messages {
		refs = append(refs, m.Ref)
	}
	purged, warnings, err := q.PurgeMessages(refs)
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"purgedCount": purged, "warnings": warnings})
}

func (a rest) ack(w http.ResponseWriter, r *http.Request) error {
	q, err := a.queue(r)
	if err != nil {
		return err
	}
	var req struct {
		Acks []struct {
			Lease string `json:"lease_id"`
		} `json:"acks"`
		Retries []struct {
			Lease string `json:"lease_id"`
			Delay *int64 `json:"delay_seconds"`
		} `json:"retries"`
	}
	if err := decode(r, &req); err != nil {
		return err
	}
	var acks []string
	for _, x := range req.Acks {
		acks = append(acks, x.Lease)
	}
	var retries []Retry
	for _, x := range req.Retries {
		y := Retry{Lease: x.Lease}
		if x.Delay != nil {
			if y.Delay, err = delayOf(*x.Delay, codeMetadata, "retry"); err != nil {
				return err
			}
		}
		retries = append(retries, y)
	}
	done, err := q.Settle(acks, retries)
	if err != nil {
		return err
	}
	return api.Write(w, map[string]any{"ackCount": done.Acked, "retryCount": done.Retried, "warnings": done.Warnings})
}
