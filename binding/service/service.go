// Package service is the service binding: one Worker calling another, by fetch
// or by RPC, without a network in between. The engine leads the binding to the
// other Worker's cell (or, for a binding to itself, back into the same one).
//
// Source: https://developers.cloudflare.com/workers/runtime-apis/bindings/service-bindings/
package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// settings are the fields of the uploaded binding.
type settings struct {
	Service     string          `json:"service"`
	Entrypoint  string          `json:"entrypoint"`
	Environment string          `json:"environment"`
	Props       json.RawMessage `json:"props"`
}

// Kind is the binding kind "service".
type Kind struct{}

var _ binding.Referrer = Kind{}

// Kinds returns the kind.
func Kinds() []binding.Kind { return []binding.Kind{Kind{}} }

// Type implements binding.Kind.
func (Kind) Type() string { return "service" }

// Validate implements binding.Kind. Props must be a JSON object, which is what
// the entrypoint sees as ctx.props.
func (Kind) Validate(b config.Binding) error {
	_, err := decode(b)
	return err
}

// Mount implements binding.Kind. Whether the other Worker exists is asked when
// it is called, since either of the two may be deployed first.
func (Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	s, err := decode(b)
	if err != nil {
		return binding.Mount{}, err
	}
	peer := s.peer()
	m := binding.Mount{Value: workerd.ServiceValue{Name: at.Service}, Peer: &peer}
	if s.Environment != "" && s.Environment != "production" {
		m.Warning = fmt.Sprintf("binding %s: service environments are not run; the calls go to Worker %q, not to its environment %q (name the Worker %q as the service instead)",
			b.Name, s.Service, s.Environment, s.Service+"-"+s.Environment)
	}
	return m, nil
}

// Refer implements binding.Referrer.
func (Kind) Refer(b config.Binding) []binding.Reference {
	s, err := decode(b)
	if err != nil {
		return nil
	}
	return []binding.Reference{{Peer: s.peer()}}
}

func (s settings) peer() binding.Peer {
	return binding.Peer{Worker: s.Service, Entrypoint: s.Entrypoint, Props: string(s.Props)}
}

func decode(b config.Binding) (settings, error) {
	var s settings
	if err := b.Decode(&s); err != nil {
		return s, err
	}
	if s.Service == "" {
		return s, fmt.Errorf("binding %s: service must name a Worker", b.Name)
	}
	// The default export has two names: none and "default".
	if s.Entrypoint == "default" {
		s.Entrypoint = ""
	}
	if len(s.Props) == 0 || string(s.Props) == "null" {
		s.Props = nil
		return s, nil
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, s.Props)
	if err == nil && compact.Bytes()[0] != '{' {
		err = errors.New("not an object")
	}
	if err != nil {
		return s, fmt.Errorf("binding %s: props must be a JSON object: %w", b.Name, err)
	}
	s.Props = compact.Bytes()
	return s, nil
}
