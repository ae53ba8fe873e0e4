package email

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-message"
	mailmessage "github.com/emersion/go-message/mail"

	"github.com/selvage-edge/selvage/mail"
)

// part is a node of a MIME message: a body, or parts.
type part struct {
	header message.Header
	body   []byte
	parts  []part
}

func text(subtype, body string) part {
	p := part{body: []byte(body)}
	p.header.SetContentType("text/"+subtype, map[string]string{"charset": "utf-8"})
	p.header.Set("Content-Transfer-Encoding", "quoted-printable")
	return p
}

func multipart(subtype string, parts ...part) part {
	p := part{parts: parts}
	p.header.SetContentType("multipart/"+subtype, nil)
	return p
}

func (a *Attachment) part() part {
	p := part{body: a.Content}
	typ, params, _ := mime.ParseMediaType(a.Type) // checked
	disposition := "attachment"
	if a.Inline {
		disposition = "inline"
	}
	p.header.SetContentType(typ, params)
	p.header.SetContentDisposition(disposition, map[string]string{"filename": a.Filename})
	p.header.Set("Content-Transfer-Encoding", "base64")
	if a.ContentID != "" {
		p.header.Set("Content-Id", "<"+a.ContentID+">")
	}
	return p
}

func (a *Attachment) check(i int) error {
	typ, _, err := mime.ParseMediaType(a.Type)
	switch {
	case a.Filename == "" || breaks(a.Filename):
		return invalid("attachments[%d]: filename must be a name without control characters", i)
	case err != nil || !strings.Contains(typ, "/") || strings.HasPrefix(typ, "multipart/") || strings.HasPrefix(typ, "message/"):
		return invalid("attachments[%d]: type %q is not the media type of a file", i, a.Type)
	case a.Inline && a.ContentID == "":
		return invalid("attachments[%d]: an inline attachment needs a contentId", i)
	case strings.ContainsFunc(a.ContentID, func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' }):
		return invalid("attachments[%d]: contentId %q holds what a Content-ID cannot", i, a.ContentID)
	}
	return nil
}

// body is the tree of the message: the HTML with what it shows, beside it the
// plain text, and then the files.
func (m *Message) body() part {
	var shown, files []part
	for i := range m.Attachments {
		if a := &m.Attachments[i]; a.Inline && m.HTML != "" {
			shown = append(shown, a.part())
		} else {
			files = append(files, a.part())
		}
	}
	root := text("plain", m.Text)
	if m.HTML != "" {
		html := text("html", m.HTML)
		if len(shown) > 0 {
			html = multipart("related", append([]part{html}, shown...)...)
		}
		if m.Text != "" {
			html = multipart("alternative", root, html)
		}
		root = html
	}
	if len(files) > 0 {
		root = multipart("mixed", append([]part{root}, files...)...)
	}
	return root
}

// compose writes a message that has been checked. Bcc is in the envelope only.
func (m *Message) compose(id string, now time.Time) ([]byte, error) {
	root := m.body()
	h := mailmessage.Header{Header: root.header}
	h.Set("Mime-Version", "1.0")
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(m.Headers))) {
		known := name
		if c := allowed[strings.ToLower(name)]; c != "" {
			known = c
		}
		h.SetText(known, m.Headers[name])
	}
	h.SetMessageID(id)
	h.SetDate(now.UTC())
	h.SetSubject(m.Subject)
	if m.ReplyTo != nil {
		h.SetAddressList("Reply-To", addresses([]Address{*m.ReplyTo}))
	}
	if len(m.Cc) > 0 {
		h.SetAddressList("Cc", addresses(m.Cc))
	}
	h.SetAddressList("To", addresses(m.To))
	h.SetAddressList("From", addresses([]Address{m.From}))
	var b bytes.Buffer
	w, err := message.CreateWriter(&b, h.Header)
	if err == nil {
		err = root.write(w)
	}
	if err != nil {
		return nil, fmt.Errorf("write e-mail: %w", err)
	}
	if b.Len() > mail.MaxSize {
		return nil, tooLarge()
	}
	return b.Bytes(), nil
}

// write writes the part and closes w.
func (p *part) write(w *message.Writer) error {
	if p.parts == nil {
		if _, err := w.Write(p.body); err != nil {
			return err
		}
	}
	for i := range p.parts {
		child, err := w.CreatePart(p.parts[i].header)
		if err != nil {
			return err
		}
		if err := p.parts[i].write(child); err != nil {
			return err
		}
	}
	return w.Close()
}

func addresses(list []Address) []*mailmessage.Address {
	var out []*mailmessage.Address
	for _, a := range list {
		out = append(out, &mailmessage.Address{Name: a.Name, Address: a.Email})
	}
	return out
}
