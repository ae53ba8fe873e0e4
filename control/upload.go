package control

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/config"
)

// Limits of an upload.
//
// Source: https://developers.cloudflare.com/workers/platform/limits/
const (
	// MaxScriptBytes is the size of all modules together, and MaxScriptGzipBytes
	// their size after compression.
	MaxScriptBytes     = 64 << 20
	MaxScriptGzipBytes = 10 << 20
	// MaxBindings is the number of bindings of a version, and of its
	// environment variables and secrets.
	MaxBindings = 1000
	// MaxModules is the number of modules of a version.
	MaxModules    = 10_000
	maxModuleName = 1024
	// maxUploadBytes bounds what is read of one upload: modules and source maps.
	maxUploadBytes = 2 * MaxScriptBytes
	// maxMetadataBytes bounds the metadata part.
	maxMetadataBytes = 8 << 20
)

// metadata is the JSON that comes with an upload. Keys that are not here are
// ignored, as Cloudflare does.
type metadata struct {
	MainModule         string            `json:"main_module"`
	BodyPart           string            `json:"body_part"`
	Bindings           []json.RawMessage `json:"bindings"`
	CompatibilityDate  string            `json:"compatibility_date"`
	CompatibilityFlags []string          `json:"compatibility_flags"`
	Migrations         *migrations       `json:"migrations"`
	KeepBindings       *[]string         `json:"keep_bindings"`
	Placement          json.RawMessage   `json:"placement"`
	Limits             *limits           `json:"limits"`
	Annotations        map[string]string `json:"annotations"`
	Assets             *metadataAssets   `json:"assets"`
	KeepAssets         bool              `json:"keep_assets"`
	Tags               *[]string         `json:"tags"`
	Logpush            *bool             `json:"logpush"`
	Observability      json.RawMessage   `json:"observability"`
	TailConsumers      json.RawMessage   `json:"tail_consumers"`

	// asked are all keys, as they came.
	asked asked
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *metadata) UnmarshalJSON(data []byte) error {
	type plain metadata
	if err := json.Unmarshal(data, (*plain)(m)); err != nil {
		return err
	}
	return json.Unmarshal(data, &m.asked)
}

// maxCells bounds limits.cells: what is more is a mistake on any machine.
const maxCells = 1024

type limits struct {
	CPUMS       int `json:"cpu_ms"`
	Subrequests int `json:"subrequests"`
	Cells       int `json:"cells"`
}

type metadataAssets struct {
	JWT    string          `json:"jwt"`
	Config json.RawMessage `json:"config"`
}

// upload is a parsed upload form.
type upload struct {
	metadata
	bindings []config.Binding
	// modules are all files but source maps, main module first.
	modules []config.Module
	// warnings say what the upload asks for and does not get.
	warnings []string
}

// readUpload reads the upload form of a request.
func readUpload(w http.ResponseWriter, r *http.Request) (*upload, error) {
	return parseUpload(r.Header.Get("Content-Type"), http.MaxBytesReader(w, r.Body, maxUploadBytes+maxMetadataBytes))
}

// parseUpload reads the multipart form of a script PUT or version POST.
func parseUpload(contentType string, body io.Reader) (*upload, error) {
	form, err := formReader(contentType, body)
	if err != nil {
		return nil, err
	}
	u := &upload{}
	seen := map[string]bool{}
	haveMetadata := false
	total := 0
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, formError(err)
		}
		name := part.FormName()
		// A file, as curl sends what it reads from one, is the metadata unless a
		// module has that name.
		typ := part.Header.Get("Content-Type")
		if name == "metadata" && (part.FileName() == "" || !haveMetadata && strings.HasPrefix(typ, "application/json")) {
			data, err := readPart(part, maxMetadataBytes)
			if err != nil {
				return nil, err
			}
			if err := json.Unmarshal(data, &u.metadata); err != nil {
				return nil, badRequest(10001, "the metadata part is not valid: %v", api.Explain(err))
			}
			haveMetadata = true
			continue
		}
		if name == "" {
			return nil, badRequest(10001, "a part of the form has no name")
		}
		if seen[name] {
			return nil, refused("the module %q was uploaded twice", name)
		}
		seen[name] = true
		if err := checkModuleName(name); err != nil {
			return nil, err
		}
		data, err := readPart(part, maxUploadBytes-total)
		if err != nil {
			return nil, err
		}
		total += len(data)
		module := moduleType(name, typ)
		if module == config.SourceMap {
			continue
		}
		if len(u.modules) == MaxModules {
			return nil, refused("an upload has at most %d modules", MaxModules)
		}
		u.modules = append(u.modules, config.Module{Name: name, Type: module, Data: data})
	}
	if !haveMetadata {
		return nil, badRequest(10001, "the form has no metadata part")
	}
	return u, u.check()
}

// checkModuleName refuses names that cannot be imported: a module lies below
// the folder of the others.
func checkModuleName(name string) error {
	if len(name) > maxModuleName {
		return refused("a module's name has at most %d bytes, not %d", maxModuleName, len(name))
	}
	if strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") {
		return refused("module %q: the name of a module must not begin with / or hold ..", name)
	}
	if config.ReservedModule(name) {
		return refused("module %q: names that begin with selvage:, cloudflare-internal:, node-internal: or workerd: are the runtime's own", name)
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return refused("module %q: the name of a module must not hold control characters", name)
	}
	return nil
}

func formReader(contentType string, body io.Reader) (*multipart.Reader, error) {
	typ, params, err := mime.ParseMediaType(contentType)
	if err != nil || typ != "multipart/form-data" || params["boundary"] == "" {
		return nil, api.Errorf(http.StatusUnsupportedMediaType, 10001, "the body must be multipart/form-data with a metadata part and a part for each module, not %q", contentType)
	}
	return multipart.NewReader(body, params["boundary"]), nil
}

func formError(err error) error {
	var e *api.Error
	if errors.As(err, &e) {
		return err
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge()
	}
	return badRequest(10001, "read the multipart form: %v", err)
}

// readPart reads a part of at most limit bytes.
func readPart(part io.Reader, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(part, int64(limit)+1))
	if err != nil {
		return nil, formError(err)
	}
	if len(data) > limit {
		return nil, tooLarge()
	}
	return data, nil
}

func tooLarge() error {
	return api.Errorf(http.StatusRequestEntityTooLarge, 10027,
		"Your Worker exceeded the size limit of %d MiB after compression (%d MiB before). Refer to the Workers documentation (https://developers.cloudflare.com/workers/observability/errors/#errors-on-worker-upload) for ways to make it smaller.",
		MaxScriptGzipBytes>>20, MaxScriptBytes>>20)
}

// moduleType is the type that a part declares, or what its name suggests when
// it declares something general.
func moduleType(name, contentType string) config.ModuleType {
	typ, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		typ = ""
	}
	switch typ {
	case "application/javascript+module", "text/javascript+module":
		return config.ESModule
	case "application/javascript", "text/javascript":
		return config.CommonJSModule
	case "text/x-python-requirement":
		return config.ModuleType(typ)
	case string(config.WasmModule), string(config.TextModule), string(config.JSONModule),
		string(config.PythonModule), string(config.SourceMap), string(config.DataModule):
		return config.ModuleType(typ)
	}
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "mjs":
		return config.ESModule
	case "js":
		return config.CommonJSModule
	case "wasm":
		return config.WasmModule
	case "map":
		return config.SourceMap
	case "txt":
		return config.TextModule
	}
	return config.DataModule
}

// check validates what needs nothing but the upload, and puts the main module
// first.
func (u *upload) check() (err error) {
	if u.warnings, err = u.asked.check(); err != nil {
		return err
	}
	for i, raw := range u.Bindings {
		var head struct{ Name, Type string }
		if err := json.Unmarshal(raw, &head); err != nil {
			return refused("binding %d is not an object with name and type: %v", i+1, api.Explain(err))
		}
		if head.Name == "" || head.Type == "" {
			return refused("binding %d must have a name and a type", i+1)
		}
		u.bindings = append(u.bindings, config.Binding{Name: head.Name, Type: head.Type, Raw: raw})
	}
	if u.MainModule != "" && u.BodyPart != "" {
		return refused("metadata names both a main_module and a body_part; a Worker has one of them")
	}
	if main := u.MainModule + u.BodyPart; main != "" {
		at := -1
		for i, m := range u.modules {
			if m.Name == main {
				at = i
			}
		}
		if at < 0 {
			return refused("no such module %q: metadata names it as the main module but the form has no part of that name", main)
		}
		m := u.modules[at]
		copy(u.modules[1:at+1], u.modules[:at])
		u.modules[0] = m
		if m.Type == config.PythonModule {
			return refused("Python Workers are not supported; write the Worker in JavaScript or TypeScript")
		}
	} else if len(u.modules) > 0 {
		return refused("metadata must name the main_module among the uploaded modules")
	}
	if err := checkDate(u.CompatibilityDate, time.Now()); err != nil {
		return err
	}
	if l := u.Limits; l != nil {
		if l.CPUMS < 0 || l.CPUMS > 300_000 {
			return refused("limits.cpu_ms must be between 0 and 300000 milliseconds, not %d", l.CPUMS)
		}
		if l.Subrequests < 0 || l.Subrequests > 10_000_000 {
			return refused("limits.subrequests must be between 0 and 10000000, not %d", l.Subrequests)
		}
		if l.Cells < 0 || l.Cells > maxCells {
			return refused("limits.cells must be between 0 and %d, not %d", maxCells, l.Cells)
		}
	}
	if len(u.Annotations["workers/message"]) > 1000 || len(u.Annotations["workers/tag"]) > 100 {
		return refused("the message of a version has at most 1000 bytes and its tag at most 100")
	}
	return checkSize(u.modules)
}

var dateForm = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// checkDate refuses a compatibility date that is not a date or that lies in
// the future anywhere on Earth.
func checkDate(date string, now time.Time) error {
	if date == "" {
		return nil
	}
	t, err := time.Parse(time.DateOnly, date)
	if err != nil || !dateForm.MatchString(date) {
		return refused("the compatibility date %q is not of the form YYYY-MM-DD", date)
	}
	if t.After(now.Add(14 * time.Hour)) {
		return refused("Can't set compatibility date in the future: %s", date)
	}
	return nil
}

func checkSize(modules []config.Module) error {
	total := 0
	for _, m := range modules {
		total += len(m.Data)
	}
	if total > MaxScriptBytes {
		return tooLarge()
	}
	if total <= MaxScriptGzipBytes {
		return nil
	}
	var size counter
	z, err := gzip.NewWriterLevel(&size, gzip.BestSpeed)
	if err != nil {
		return err
	}
	for _, m := range modules {
		if _, err := io.Copy(z, bytes.NewReader(m.Data)); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	if size > MaxScriptGzipBytes {
		return tooLarge()
	}
	return nil
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
