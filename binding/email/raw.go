package email

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	mailmessage "github.com/emersion/go-message/mail"
	"github.com/emersion/go-message/textproto"
)

// prepare makes a message that was ready one of ours: it gets a Message-ID of
// ours and clean line ends. The checks and their texts are Cloudflare's.
func prepare(raw []byte, from, id string) ([]byte, error) {
	// A line end that is only half of one is read as another by some servers.
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	raw = bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
	raw = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
	r := bufio.NewReader(bytes.NewReader(raw))
	h, err := textproto.ReadHeader(r)
	if err != nil {
		return nil, invalid("could not parse email: %v", err)
	}
	if !h.Has("Message-Id") {
		return nil, invalid("invalid message-id")
	}
	sender := h.Values("From")
	if len(sender) != 1 {
		return nil, invalid("From: header does not match mail from")
	}
	list, err := mailmessage.ParseAddressList(sender[0])
	if err != nil || len(list) != 1 || list[0].Address != from {
		return nil, invalid("From: header does not match mail from")
	}
	if h.Has("Received") {
		return nil, invalid("invalid headers set")
	}
	h.Set("Message-Id", "<"+id+">")
	var b bytes.Buffer
	if err := textproto.WriteHeader(&b, h); err != nil {
		return nil, invalid("could not parse email: %v", err)
	}
	if _, err := io.Copy(&b, r); err != nil {
		return nil, fmt.Errorf("copy e-mail: %w", err)
	}
	return b.Bytes(), nil
}
