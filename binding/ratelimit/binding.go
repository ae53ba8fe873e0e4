package ratelimit

import (
	"fmt"
	"strconv"
	"time"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// module is the object that a Worker sees; workerd has no such binding of its
// own. The checks and their texts are those of Cloudflare's.
const module = `const keys = ["key", "limit", "period"];

function check(ok, message) {
  if (!ok) throw new Error(message);
}

class Ratelimit {
  #env;
  constructor(env) {
    this.#env = env;
  }
  async limit(options) {
    check(typeof options === "object" && options !== null, "invalid rate limit options");
    const unknown = Object.keys(options).filter((name) => !keys.includes(name));
    check(unknown.length === 0, "bad rate limit options: [" + unknown.join(",") + "]");
    const { key = "", limit = this.#env.limit, period = this.#env.period } = options;
    check(typeof key === "string", "invalid key: " + key);
    check(typeof limit === "number", "limit must be a number: " + limit);
    check(typeof period === "number", "period must be a number: " + period);
    check(period === 10 || period === 60, "unsupported period: " + period);
    const url = "http://ratelimit/?limit=" + encodeURIComponent(limit) + "&period=" + period;
    const response = await this.#env.service.fetch(url, { method: "POST", body: key });
    check(response.status === 204 || response.status === 429, "rate limit failed: " + response.status);
    return { success: response.status === 204 };
  }
}

export default function (env) {
  return new Ratelimit(env);
}
`

// settings are the fields of the uploaded binding.
type settings struct {
	NamespaceID string `json:"namespace_id"`
	Simple      struct {
		Limit  int `json:"limit"`
		Period int `json:"period"`
	} `json:"simple"`
}

// Kind is the binding kind "ratelimit".
type Kind struct{ store *Store }

var _ binding.Opener = (*Kind)(nil)

// Kinds returns the kind, not open yet.
func Kinds() []binding.Kind { return []binding.Kind{&Kind{}} }

// Open implements binding.Opener.
func (k *Kind) Open(home binding.Home) error {
	k.store = NewStore(home.Now)
	return nil
}

// Type implements binding.Kind.
func (*Kind) Type() string { return "ratelimit" }

// Validate implements binding.Kind.
func (*Kind) Validate(b config.Binding) error {
	_, err := decode(b)
	return err
}

// Mount implements binding.Kind. Bindings that name the same namespace share
// their counters, also across Workers.
func (k *Kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	s, err := decode(b)
	if err != nil {
		return binding.Mount{}, err
	}
	const name = "selvage:ratelimit"
	return binding.Mount{
		Value: workerd.WrappedValue{Module: name, Inner: []workerd.Binding{
			{Name: "service", Value: workerd.ServiceValue{Name: at.Service}},
			{Name: "limit", Value: workerd.JSONValue(strconv.Itoa(s.Simple.Limit))},
			{Name: "period", Value: workerd.JSONValue(strconv.Itoa(s.Simple.Period))},
		}},
		Handler: service{store: k.store, namespace: s.NamespaceID},
		Modules: []workerd.ExtensionModule{{Name: name, Internal: true, Source: module}},
	}, nil
}

func decode(b config.Binding) (settings, error) {
	var s settings
	if err := b.Decode(&s); err != nil {
		return s, err
	}
	if s.NamespaceID == "" {
		return s, fmt.Errorf("binding %s: namespace_id must be a string that names the counters, such as \"1001\"", b.Name)
	}
	if s.Simple.Limit < 1 {
		return s, fmt.Errorf("binding %s: simple.limit is %d; it must be a positive number", b.Name, s.Simple.Limit)
	}
	if _, err := periodIndex(time.Duration(s.Simple.Period) * time.Second); err != nil {
		return s, fmt.Errorf("binding %s: simple.period is %d; it must be 10 or 60 (seconds)", b.Name, s.Simple.Period)
	}
	return s, nil
}
