// Package mail is how e-mail leaves this server: through a relay, or into a
// folder.
package mail

import "context"

// MaxSize is the size of a message, in bytes.
//
// Source: https://developers.cloudflare.com/email-service/platform/limits/
const MaxSize = 25 << 20

// Message is an e-mail on its way.
type Message struct {
	// From and To are the envelope: bare addresses.
	From string
	To   []string
	// Data is the message itself, as in RFC 5322.
	Data []byte
}

// Sender takes messages. Implementations are safe for concurrent use.
type Sender interface {
	// Send returns once the message has been accepted for all of its recipients,
	// or for none. ctx bounds it.
	Send(ctx context.Context, m Message) error
}
