// Package vars holds the bindings that are plain values: variables, JSON
// variables, secrets, cryptographic keys, version metadata and the blobs of
// service-worker-syntax scripts. They are part of a version and never change
// while it lives, so a cell gets them in its configuration and nothing is
// served.
//
// Source: https://developers.cloudflare.com/workers/configuration/environment-variables/
// and https://developers.cloudflare.com/workers/runtime-apis/bindings/version-metadata/
package vars

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
	"github.com/selvage-edge/selvage/engine/workerd"
)

// MaxBytes is the size limit of one variable or secret, 5 KB.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/#environment-variables
const MaxBytes = 5 * 1024

// Kinds gives the kinds plain_text, secret_text, json, secret_key,
// version_metadata, text_blob, data_blob and wasm_module.
func Kinds() []binding.Kind {
	return []binding.Kind{
		kind{"plain_text", text},
		secret{kind{"secret_text", text}, []string{"text"}},
		kind{"json", jsonText},
		secret{kind{"secret_key", cryptoKey}, []string{"key_base64", "key_jwk"}},
		kind{"version_metadata", versionMetadata},
		kind{"text_blob", blob},
		kind{"data_blob", blob},
		kind{"wasm_module", blob},
	}
}

// kind is a type whose whole behaviour is to compute a value. The version is
// nil when only the settings are to be checked.
type kind struct {
	name  string
	value func(config.Binding, *config.Version) (workerd.Value, error)
}

func (k kind) Type() string { return k.name }

// secret is a kind whose settings are secret in part.
type secret struct {
	kind
	fields []string
}

var _ binding.Secretive = secret{}

// SecretFields implements binding.Secretive.
func (s secret) SecretFields() []string { return s.fields }

func (k kind) Validate(b config.Binding) error {
	_, err := k.value(b, nil)
	return err
}

func (k kind) Mount(b config.Binding, at binding.Site) (binding.Mount, error) {
	v, err := k.value(b, at.Version)
	return binding.Mount{Value: v}, err
}

func text(b config.Binding, _ *config.Version) (workerd.Value, error) {
	var s struct {
		Text *string `json:"text"`
	}
	if err := b.Decode(&s); err != nil {
		return nil, err
	}
	if s.Text == nil {
		return nil, fmt.Errorf("binding %s (%s): text is missing", b.Name, b.Type)
	}
	if err := checkSize(b, len(*s.Text)); err != nil {
		return nil, err
	}
	return workerd.TextValue(*s.Text), nil
}

func jsonText(b config.Binding, _ *config.Version) (workerd.Value, error) {
	var s struct {
		JSON json.RawMessage `json:"json"`
	}
	if err := b.Decode(&s); err != nil {
		return nil, err
	}
	if len(s.JSON) == 0 {
		return nil, fmt.Errorf("binding %s (json): json is missing", b.Name)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, s.JSON); err != nil {
		return nil, fmt.Errorf("binding %s (json): %w", b.Name, err)
	}
	if err := checkSize(b, compact.Len()); err != nil {
		return nil, err
	}
	return workerd.JSONValue(compact.String()), nil
}

func checkSize(b config.Binding, n int) error {
	if n > MaxBytes {
		return fmt.Errorf("binding %s (%s): %d bytes exceed the limit of %d; keep larger values in KV", b.Name, b.Type, n, MaxBytes)
	}
	return nil
}

func versionMetadata(_ config.Binding, v *config.Version) (workerd.Value, error) {
	if v == nil {
		return nil, nil
	}
	data, err := versionJSON(v)
	return workerd.JSONValue(data), err
}

// versionJSON is what a Worker sees of its version.
func versionJSON(v *config.Version) ([]byte, error) {
	data, err := json.Marshal(struct {
		ID        string `json:"id"`
		Tag       string `json:"tag"`
		Timestamp string `json:"timestamp"`
	}{v.ID, v.Tag, v.Created.UTC().Format("2006-01-02T15:04:05.000000Z")})
	if err != nil {
		return nil, fmt.Errorf("version metadata: %w", err)
	}
	return data, nil
}

// blob finds the uploaded part that the binding names.
func blob(b config.Binding, v *config.Version) (workerd.Value, error) {
	var s struct {
		Part string `json:"part"`
	}
	if err := b.Decode(&s); err != nil {
		return nil, err
	}
	if s.Part == "" {
		return nil, fmt.Errorf("binding %s (%s): part must name an uploaded part", b.Name, b.Type)
	}
	if v == nil {
		return nil, nil
	}
	modules, err := v.Code.Modules(context.Background())
	if err != nil {
		return nil, fmt.Errorf("binding %s (%s): read the Worker's code: %w", b.Name, b.Type, err)
	}
	for _, m := range modules {
		if m.Name != s.Part {
			continue
		}
		switch b.Type {
		case "wasm_module":
			if !v.ServiceWorker {
				return nil, fmt.Errorf("binding %s (wasm_module): only service-worker-syntax scripts can have one; import %q in the module that uses it", b.Name, s.Part)
			}
			return workerd.WasmValue(m.Data), nil
		case "data_blob":
			return workerd.DataValue(m.Data), nil
		}
		if !utf8.Valid(m.Data) {
			return nil, fmt.Errorf("binding %s (text_blob): part %q is not UTF-8 text; bind it as a data_blob", b.Name, s.Part)
		}
		return workerd.TextValue(m.Data), nil
	}
	return nil, fmt.Errorf("binding %s (%s): the upload has no part %q", b.Name, b.Type, s.Part)
}
