package vars

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/selvage-edge/selvage/binding"
	"github.com/selvage-edge/selvage/config"
)

var _ binding.GoKind = kind{}

// Secret is a string that does not show itself: printed, logged or turned into
// JSON it is "[secret]". Reveal gives the text.
type Secret struct{ text string }

// NewSecret makes a Secret, for tests and options.
func NewSecret(text string) Secret { return Secret{text} }

const redacted = "[secret]"

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// Format implements fmt.Formatter: no verb shows the text.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Bind implements binding.GoKind. Texts and secrets go into a string, a Secret,
// a []byte or an encoding.TextUnmarshaler, or are read as JSON into anything
// else: a number, a bool, a struct. JSON and version metadata go into whatever
// encoding/json can put them.
func (k kind) Bind(b config.Binding, at binding.Host, to any) error {
	var s struct {
		Text *string         `json:"text"`
		JSON json.RawMessage `json:"json"`
	}
	if err := b.Decode(&s); err != nil {
		return err
	}
	if err := k.Validate(b); err != nil {
		return err
	}
	switch k.name {
	case "plain_text", "secret_text":
		return setText(*s.Text, to)
	case "json":
		if raw, ok := to.(*[]byte); ok {
			*raw = s.JSON
			return nil
		}
		return setJSON(s.JSON, to)
	case "version_metadata":
		data, err := versionJSON(at.Version)
		if err != nil {
			return err
		}
		return setJSON(data, to)
	}
	return fmt.Errorf("a Worker written in Go cannot have a binding of type %s; use go:embed", k.name)
}

func setText(text string, to any) error {
	switch p := to.(type) {
	case *string:
		*p = text
	case *[]byte:
		*p = []byte(text)
	case *Secret:
		p.text = text
	case encoding.TextUnmarshaler:
		if err := p.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("read the text: %w", err)
		}
	default:
		return setJSON([]byte(text), to)
	}
	return nil
}

func setJSON(data []byte, to any) error {
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("read the value as JSON: %w", err)
	}
	return nil
}
