package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
)

// policy says how often a step is tried, and for how long: the config of a step,
// over the defaults.
//
// Source: https://developers.cloudflare.com/workflows/build/sleeping-and-retrying/#retry-steps
type policy struct {
	Retries retries `json:"retries"`
	// Timeout of an attempt, as it was written.
	Timeout json.RawMessage `json:"timeout"`
	// Sensitive is "output" where that is not shown to clients of the REST API.
	Sensitive string `json:"sensitive,omitempty"`

	timeout, delay int64 // ms
}

type retries struct {
	// Limit is the number of attempts after the first.
	Limit int `json:"limit"`
	// Delay before the first retry, as it was written; nil if a function of the
	// Worker says it.
	Delay   json.RawMessage `json:"delay,omitempty"`
	Backoff string          `json:"backoff"`
}

// defaultPolicy is that of a step without a config.
func defaultPolicy() policy {
	return policy{
		Retries: retries{Limit: 5, Delay: json.RawMessage("10000"), Backoff: "exponential"},
		Timeout: json.RawMessage(`"10 minutes"`), timeout: 600_000, delay: 10_000,
	}
}

// parsePolicy reads the config of a step; ok is false if it is none. dynamic: a
// function of the Worker says the delay.
func parsePolicy(raw json.RawMessage, dynamic bool) (p policy, ok bool) {
	p = defaultPolicy()
	if len(raw) == 0 {
		return p, true
	}
	var c struct {
		Retries   json.RawMessage `json:"retries"`
		Timeout   json.RawMessage `json:"timeout"`
		Sensitive json.RawMessage `json:"sensitive"`
	}
	if strict(raw, &c) != nil {
		return p, false
	}
	if c.Sensitive != nil {
		if p.Sensitive = text(c.Sensitive); p.Sensitive != "output" {
			return p, false
		}
	}
	if c.Timeout != nil {
		ms, err := parseDuration(c.Timeout)
		if err != nil || ms == 0 {
			return p, false
		}
		p.Timeout, p.timeout = c.Timeout, ms
	}
	if c.Retries == nil {
		return p, true
	}
	var r struct {
		Limit   *float64        `json:"limit"`
		Delay   json.RawMessage `json:"delay"`
		Backoff json.RawMessage `json:"backoff"`
	}
	if strict(c.Retries, &r) != nil || r.Limit == nil || *r.Limit < 0 || *r.Limit > math.MaxInt32 || *r.Limit != math.Trunc(*r.Limit) {
		return p, false
	}
	p.Retries.Limit = int(*r.Limit)
	if r.Backoff != nil {
		switch p.Retries.Backoff = text(r.Backoff); p.Retries.Backoff {
		case "constant", "linear", "exponential":
		default:
			return p, false
		}
	}
	if dynamic {
		p.Retries.Delay = nil
		return p, true
	}
	ms, err := parseDuration(r.Delay)
	if err != nil {
		return p, false
	}
	p.Retries.Delay, p.delay = r.Delay, ms
	return p, true
}

// shown is the policy as clients see it.
func (p policy) shown() policy {
	if p.Retries.Delay == nil {
		p.Retries.Delay = json.RawMessage(`"[dynamic]"`)
	}
	return p
}

// strict unmarshals an object that may have no other fields.
func strict(raw json.RawMessage, v any) error {
	if raw[0] != '{' {
		return errors.New("not an object")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// pause is how long to wait after an attempt has failed, in ms.
func (p policy) pause(attempt int) int64 {
	factor := 1.0
	switch p.Retries.Backoff {
	case "linear":
		factor = float64(attempt)
	case "exponential":
		factor = math.Pow(2, float64(attempt-1))
	}
	return int64(min(float64(p.delay)*factor, maxMillis))
}
