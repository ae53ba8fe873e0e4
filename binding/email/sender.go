package email

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/selvage-edge/selvage/mail"
)

// Sender sends e-mail within the rules of one binding. It is safe for concurrent
// use. Errors that the caller can do something about are *Error.
type Sender struct {
	out   mail.Sender // nil: none is configured
	now   func() time.Time
	log   *slog.Logger
	rules settings
}

// Send sends a message of its parts and returns its Message-ID, with its angle
// brackets.
func (s *Sender) Send(ctx context.Context, m Message) (id string, err error) {
	if err := m.check(); err != nil {
		return "", err
	}
	to := m.recipients()
	if err := s.rules.allow(m.From.Email, to); err != nil {
		return "", err
	}
	id = newID(m.From.Email)
	data, err := m.compose(id, s.now())
	if err != nil {
		return "", err
	}
	return s.send(ctx, id, mail.Message{From: m.From.Email, To: to, Data: data})
}

// SendRaw sends a message that is ready, as in RFC 5322, with a Message-ID and a
// From that is from. Its Message-ID is replaced by the one that is returned.
func (s *Sender) SendRaw(ctx context.Context, from, to string, raw []byte) (id string, err error) {
	if len(raw) > mail.MaxSize {
		return "", tooLarge()
	}
	if err := (Address{Email: from}).check("from"); err != nil {
		return "", err
	}
	if err := (Address{Email: to}).check("to"); err != nil {
		return "", err
	}
	if err := s.rules.allow(from, []string{to}); err != nil {
		return "", err
	}
	id = newID(from)
	data, err := prepare(raw, from, id)
	if err != nil {
		return "", err
	}
	return s.send(ctx, id, mail.Message{From: from, To: []string{to}, Data: data})
}

func (s *Sender) send(ctx context.Context, id string, m mail.Message) (string, error) {
	if s.out == nil {
		return "", fail("E_SENDER_DOMAIN_NOT_AVAILABLE", "this server sends no e-mail: no relay is configured; set email.relay in selvage.toml")
	}
	err := s.out.Send(ctx, m)
	if err == nil {
		return "<" + id + ">", nil
	}
	if domain, ok := errors.AsType[*mail.DomainError](err); ok {
		return "", &Error{"E_SENDER_DOMAIN_NOT_AVAILABLE", domain.Error()}
	}
	if rejection, ok := errors.AsType[*mail.Rejection](err); ok {
		return "", &Error{"E_DELIVERY_FAILED", rejection.Error()}
	}
	s.log.Error("e-mail not sent", "from", m.From, "err", err)
	return "", fail("E_DELIVERY_FAILED", "the e-mail could not be handed to the relay; the server's log says why")
}

// settings are the fields of the uploaded binding. Nil allows everything.
type settings struct {
	DestinationAddress          *string   `json:"destination_address"`
	AllowedDestinationAddresses *[]string `json:"allowed_destination_addresses"`
	AllowedSenderAddresses      *[]string `json:"allowed_sender_addresses"`
}

// allow refuses senders and recipients that the binding does not name.
func (r *settings) allow(from string, to []string) error {
	if r.AllowedSenderAddresses != nil && !slices.Contains(*r.AllowedSenderAddresses, from) {
		return fail("E_SENDER_NOT_VERIFIED", "email from %s not allowed", from)
	}
	for _, address := range to {
		if r.DestinationAddress != nil && address != *r.DestinationAddress ||
			r.AllowedDestinationAddresses != nil && !slices.Contains(*r.AllowedDestinationAddresses, address) {
			return fail("E_RECIPIENT_NOT_ALLOWED", "email to %s not allowed", address)
		}
	}
	return nil
}
