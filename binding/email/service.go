package email

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	netmail "net/mail"

	"github.com/selvage-edge/selvage/mail"
	"github.com/selvage-edge/selvage/storage/budget"
)

const (
	// maxBody bounds what is read of one call: a message in base64 and JSON.
	maxBody = mail.MaxSize/3*4 + 1<<20
	// copies is how many times its size a message takes while it is written.
	copies = 4
)

// service answers the calls of binding.js: POST /raw?from=&to= with a message,
// and POST /parts with its parts.
type service struct {
	sender *Sender
	memory *budget.Budget
	worker string
}

func (s service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	size := r.ContentLength
	if size < 0 || size > maxBody {
		size = maxBody
	}
	lease, err := s.memory.Take(r.Context(), s.worker, copies*size)
	if err != nil {
		answer(w, &Error{"E_RATE_LIMIT_EXCEEDED", "too many e-mails are on their way at once: " + err.Error()})
		return
	}
	defer lease.Release()
	id, err := s.call(http.MaxBytesReader(w, r.Body, maxBody), r)
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"messageId": id})
		return
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		s.sender.log.Error("e-mail not sent", "worker", s.worker, "err", err)
		e = &Error{"E_INTERNAL_SERVER_ERROR", "internal error; the server's log has the details"}
	}
	answer(w, e)
}

func answer(w http.ResponseWriter, e *Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(e)
}

func (s service) call(body io.Reader, r *http.Request) (string, error) {
	data, err := io.ReadAll(body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return "", tooLarge()
	}
	if err != nil {
		return "", invalid("the message could not be read: %v", err)
	}
	if r.URL.Path == "/raw" {
		q := r.URL.Query()
		return s.sender.SendRaw(r.Context(), q.Get("from"), q.Get("to"), data)
	}
	m, err := parseParts(data)
	if err != nil {
		return "", err
	}
	return s.sender.Send(r.Context(), m)
}

// parseParts reads a message as JavaScript has it.
func parseParts(data []byte) (Message, error) {
	var p struct {
		From        *mailbox          `json:"from"`
		To          mailboxes         `json:"to"`
		Cc          mailboxes         `json:"cc"`
		Bcc         mailboxes         `json:"bcc"`
		ReplyTo     *mailbox          `json:"replyTo"`
		Subject     string            `json:"subject"`
		Text        string            `json:"text"`
		HTML        string            `json:"html"`
		Headers     map[string]string `json:"headers"`
		Attachments []struct {
			Filename    string `json:"filename"`
			Type        string `json:"type"`
			Disposition string `json:"disposition"`
			ContentID   string `json:"contentId"`
			Content     []byte `json:"content"`
		} `json:"attachments"`
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return Message{}, invalid("the message is not valid: %v", err)
	}
	m := Message{To: p.To, Cc: p.Cc, Bcc: p.Bcc, ReplyTo: (*Address)(p.ReplyTo), Subject: p.Subject, Text: p.Text, HTML: p.HTML, Headers: p.Headers}
	if p.From != nil {
		m.From = Address(*p.From)
	}
	for i, a := range p.Attachments {
		if a.Disposition != "" && a.Disposition != "attachment" && a.Disposition != "inline" {
			return Message{}, invalid("attachments[%d]: disposition must be attachment or inline, not %q", i, a.Disposition)
		}
		m.Attachments = append(m.Attachments, Attachment{Filename: a.Filename, Type: a.Type, Inline: a.Disposition == "inline", ContentID: a.ContentID, Content: a.Content})
	}
	return m, nil
}

// mailbox is an address as a string, with or without a name, or as an object.
type mailbox Address

func (a *mailbox) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		return json.Unmarshal(data, (*Address)(a))
	}
	*a = mailbox{Email: text} // what is not an address is told later, by its field
	if parsed, err := netmail.ParseAddress(text); err == nil {
		*a = mailbox{Name: parsed.Name, Email: parsed.Address}
	}
	return nil
}

// mailboxes are one or several.
type mailboxes []Address

func (l *mailboxes) UnmarshalJSON(data []byte) error {
	var list []mailbox
	if json.Unmarshal(data, &list) != nil {
		var one *mailbox
		if err := json.Unmarshal(data, &one); err != nil || one == nil {
			return err
		}
		list = []mailbox{*one}
	}
	for _, a := range list {
		*l = append(*l, Address(a))
	}
	return nil
}
