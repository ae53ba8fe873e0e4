package email

import (
	_ "embed"
	"log/slog"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
	"github.com/selvage-edge/selvage/mail"
	"github.com/selvage-edge/selvage/storage/budget"
)

// module is the object that a Worker sees; workerd has no such binding.
//
//go:embed binding.js
var module string

// Kind is the binding kind "send_email".
type Kind struct {
	out mail.Sender
	now func() time.Time
	log *slog.Logger
	// memory is what messages take theirs from.
	memory *budget.Budget
}

var (
	_ binding.Opener = (*Kind)(nil)
	_ binding.GoKind = (*Kind)(nil)
)

// Kinds returns the kind, not open yet.
func Kinds() []binding.Kind { return []binding.Kind{&Kind{}} }

// Open implements binding.Opener.
func (k *Kind) Open(home binding.Home) error {
	k.out, k.now, k.log, k.memory = home.Mail, home.Now, home.Log, home.Memory
	return nil
}

// Type implements binding.Kind.
func (*Kind) Type() string { return "send_email" }

// Validate implements binding.Kind.
func (*Kind) Validate(b config.Binding) error { return b.Decode(&settings{}) }

// Mount implements binding.Kind.
func (k *Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	s, err := k.sender(b)
	if err != nil {
		return binding.Mount{}, err
	}
	const name = "selvage:email"
	return binding.Mount{
		Value:   workerd.WrappedValue{Module: name, Inner: []workerd.Binding{{Name: "service", Value: workerd.ServiceValue{Name: at.Service}}}},
		Handler: service{s, k.memory, at.Version.Worker},
		Modules: []workerd.ExtensionModule{{Name: name, Internal: true, Source: module}},
	}, nil
}

// Bind implements binding.GoKind for a *Sender.
func (k *Kind) Bind(b config.Binding, _ binding.Host, to any) (err error) {
	p, ok := to.(**Sender)
	if !ok {
		return &binding.TypeError{Types: "*email.Sender"}
	}
	*p, err = k.sender(b)
	return err
}

func (k *Kind) sender(b config.Binding) (*Sender, error) {
	s := &Sender{out: k.out, now: k.now, log: k.log}
	return s, b.Decode(&s.rules)
}
