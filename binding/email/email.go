// Package email is the binding that sends e-mail: env.EMAIL.send(…), of an
// EmailMessage that is ready or of its parts.
//
// What send has acknowledged has been accepted by the relay of the server's
// configuration ([email] in selvage.toml), for all recipients; nothing is queued
// or sent again here. Under `selvage dev` messages are kept in a folder. Neither
// header nor envelope can be made to hold what was not asked for: every value is
// checked for line breaks, and a library writes the message.
//
// Differences from Cloudflare: the domains that may send are those of the
// configuration; there are no suppression lists and no daily limit; DKIM is the
// relay's task. Received e-mail, with its reply and forward, does not exist yet.
//
// Source: https://developers.cloudflare.com/email-service/api/send-emails/workers-api/
package email

import (
	"crypto/rand"
	"fmt"
	netmail "net/mail"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/selvage-edge/selvage/mail"
)

// Limits of a message; its size is mail.MaxSize.
//
// Source: https://developers.cloudflare.com/email-service/platform/limits/
const (
	// MaxRecipients are To, Cc and Bcc together.
	MaxRecipients  = 50
	MaxAttachments = 32
	maxSubject     = 998 // a line of RFC 5322
)

// Error is why a message was not sent.
type Error struct {
	// Code is Cloudflare's: "E_RECIPIENT_NOT_ALLOWED".
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

func fail(code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error { return fail("E_VALIDATION_ERROR", format, args...) }

// Address is a mailbox.
type Address struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// check makes the address one that can stand in an envelope.
func (a Address) check(field string) error {
	parsed, err := netmail.ParseAddress(a.Email)
	if err != nil || parsed.Name != "" || parsed.Address != a.Email || breaks(a.Email) {
		return invalid("%s: %q is not an e-mail address", field, a.Email)
	}
	if breaks(a.Name) {
		return invalid("%s: the name of %s holds a line break or a control character", field, a.Email)
	}
	return nil
}

// breaks reports whether text could end a header field or is not text.
func breaks(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == 0xfffd })
}

// Attachment is a file that comes with a message.
type Attachment struct {
	Filename string
	// Type is its media type.
	Type string
	// Inline: the message shows it, by ContentID.
	Inline    bool
	ContentID string
	Content   []byte
}

// Message is an e-mail in its parts. From, To and Subject are required.
type Message struct {
	From        Address
	To, Cc, Bcc []Address
	ReplyTo     *Address
	Subject     string
	Text, HTML  string
	// Headers are further ones: X-… and those that Cloudflare allows.
	//
	// Source: https://developers.cloudflare.com/email-service/reference/headers/
	Headers     map[string]string
	Attachments []Attachment
}

// recipients are those of the envelope, each once.
func (m *Message) recipients() []string {
	var list []string
	for _, a := range slices.Concat(m.To, m.Cc, m.Bcc) {
		if !slices.Contains(list, a.Email) {
			list = append(list, a.Email)
		}
	}
	return list
}

// check refuses what cannot be sent by anybody.
func (m *Message) check() error {
	switch {
	case m.From.Email == "":
		return fail("E_FIELD_MISSING", "from is missing")
	case len(m.To) == 0:
		return fail("E_FIELD_MISSING", "to is missing")
	case m.Subject == "":
		return fail("E_FIELD_MISSING", "subject is missing")
	case len(m.To)+len(m.Cc)+len(m.Bcc) > MaxRecipients:
		return fail("E_TOO_MANY_RECIPIENTS", "a message has at most %d recipients in to, cc and bcc, not %d", MaxRecipients, len(m.To)+len(m.Cc)+len(m.Bcc))
	case len(m.Attachments) > MaxAttachments:
		return fail("E_TOO_MANY_ATTACHMENTS", "a message has at most %d attachments, not %d", MaxAttachments, len(m.Attachments))
	case breaks(m.Subject) || len(m.Subject) > maxSubject:
		return invalid("subject: it must be one line of at most %d bytes", maxSubject)
	}
	if err := m.From.check("from"); err != nil {
		return err
	}
	for _, list := range []struct {
		field string
		list  []Address
	}{{"to", m.To}, {"cc", m.Cc}, {"bcc", m.Bcc}} {
		for _, a := range list.list {
			if err := a.check(list.field); err != nil {
				return err
			}
		}
	}
	if m.ReplyTo != nil {
		if err := m.ReplyTo.check("replyTo"); err != nil {
			return err
		}
	}
	size := len(m.Text) + len(m.HTML)
	for i := range m.Attachments {
		if err := m.Attachments[i].check(i); err != nil {
			return err
		}
		size += len(m.Attachments[i].Content)
	}
	if size > mail.MaxSize {
		return tooLarge()
	}
	return checkHeaders(m.Headers)
}

func tooLarge() error {
	return fail("E_CONTENT_TOO_LARGE", "a message has at most %d MiB", mail.MaxSize>>20)
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newID is the Message-ID of a new message: 36 letters and digits at the
// sender's domain, as on Cloudflare.
func newID(from string) string {
	var id [36]byte
	rand.Read(id[:]) // never fails
	for i, b := range id {
		id[i] = letters[int(b)%len(letters)]
	}
	domain, err := idna.Lookup.ToASCII(from[strings.LastIndexByte(from, '@')+1:])
	if err != nil || domain == "" {
		domain = "localhost"
	}
	return string(id[:]) + "@" + domain
}
