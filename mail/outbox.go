package mail

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// Outbox keeps messages in a folder instead of sending them.
type Outbox struct {
	// Dir is the folder. The first message makes it.
	Dir string
	// Print is called with a description of each message that says where it is.
	Print func(text string)
}

// Send implements Sender.
func (o *Outbox) Send(_ context.Context, m Message) error {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("keep e-mail: %w", err)
	}
	id, err := uuid.NewV7() // in the order of time
	if err != nil {
		return fmt.Errorf("keep e-mail: %w", err)
	}
	path := filepath.Join(o.Dir, id.String()+".eml")
	if err := os.WriteFile(path, m.Data, 0o600); err != nil {
		return fmt.Errorf("keep e-mail: %w", err)
	}
	o.Print(fmt.Sprintf("E-mail, not sent but kept in %s\nFrom: %s\nTo: %s\nSubject: %s", path, m.From, strings.Join(m.To, ", "), subject(m.Data)))
	return nil
}

// subject is that of a message, on one line.
func subject(data []byte) string {
	parsed, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return ""
	}
	text := parsed.Header.Get("Subject")
	if decoded, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
		text = decoded
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}
