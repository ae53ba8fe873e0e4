package workerd

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Write renders c as the Cap'n Proto text that `workerd serve` reads; the
// constant is named "config". It holds no copy of the modules: a Worker may have
// 64 MB of them.
//
// Source: https://github.com/cloudflare/workerd/blob/main/src/workerd/server/workerd.capnp
func (c *Config) Write(w io.Writer) error {
	e := &encoder{Writer: bufio.NewWriterSize(w, 64<<10)}
	c.encode(e)
	return e.Flush()
}

// Outline is the text of Write for people: how the process is put together, with
// everything left out that may be a secret. Contents of modules, values of env
// that are text, JSON or bytes, keys, props and headers are words about what is
// missing in their place.
func (c *Config) Outline() string {
	var b strings.Builder
	e := &encoder{Writer: bufio.NewWriter(&b), outline: true}
	c.encode(e)
	e.Flush() // into memory
	return b.String()
}

func (c *Config) encode(e *encoder) {
	e.WriteString("using Workerd = import \"/workerd/workerd.capnp\";\n\nconst config :Workerd.Config = (\n")
	e.WriteString("  logging = (structuredLogging = true, stdoutPrefix = \"\", stderrPrefix = \"\"),\n")
	e.WriteString("  services = [\n")
	for _, s := range c.Services {
		e.WriteString("    ")
		e.service(s)
		e.WriteString(",\n")
	}
	e.WriteString("  ],\n  sockets = [\n")
	for _, s := range c.Sockets {
		e.WriteString("    (name = ")
		e.quote(s.Name)
		e.WriteString(", http = ")
		e.http(s.HTTP)
		e.WriteString(", service = ")
		e.designator(s.Service)
		e.WriteString("),\n")
	}
	e.WriteString("  ],\n")
	if len(c.V8Flags) > 0 {
		e.WriteString("  v8Flags = ")
		e.strings(c.V8Flags)
		e.WriteString(",\n")
	}
	if len(c.Extensions) > 0 {
		e.WriteString("  extensions = [ (modules = [\n")
		for _, m := range c.Extensions {
			e.WriteString("    (name = ")
			e.quote(m.Name)
			fmt.Fprintf(e, ", internal = %t, esModule = ", m.Internal)
			e.code([]byte(m.Source))
			e.WriteString("),\n")
		}
		e.WriteString("  ]) ],\n")
	}
	e.WriteString(");\n")
}

// encoder writes Cap'n Proto text. Values always follow "= " because "=."
// would lex as one operator.
type encoder struct {
	*bufio.Writer // keeps the first error, so that nothing else has to look for one
	outline       bool
}

// leftOut stands for a value in an outline.
const leftOut = "(left out)"

// private writes text that an outline leaves out.
func (e *encoder) private(s string) {
	if e.outline {
		s = leftOut
	}
	e.quote(s)
}

// privateBytes is private for a Data literal.
func (e *encoder) privateBytes(data []byte) {
	if e.outline {
		e.quote(leftOut)
		return
	}
	e.bytes(data)
}

// code writes the content of a module; an outline has its size.
func (e *encoder) code(data []byte) {
	if e.outline {
		e.quote(fmt.Sprintf("(%d bytes left out)", len(data)))
		return
	}
	e.WriteByte('"')
	for part := range slices.Chunk(data, 32<<10) {
		e.escape(string(part))
	}
	e.WriteByte('"')
}

func (e *encoder) quote(s string) {
	e.WriteByte('"')
	e.escape(s)
	e.WriteByte('"')
}

// escape writes what is between the quotes. Each byte is escaped by itself, so a
// text may come in parts.
func (e *encoder) escape(s string) {
	const hex = "0123456789abcdef"
	from := 0
	for i := 0; i < len(s); i++ {
		b := s[i]
		if b >= 0x20 && b != '"' && b != '\\' && b != 0x7f {
			continue
		}
		e.WriteString(s[from:i])
		from = i + 1
		switch b {
		case '"', '\\':
			e.WriteByte('\\')
			e.WriteByte(b)
		case '\n':
			e.WriteString(`\n`)
		default:
			e.WriteString(`\x`)
			e.WriteByte(hex[b>>4])
			e.WriteByte(hex[b&15])
		}
	}
	e.WriteString(s[from:])
}

// bytes writes a Data literal. Cap'n Proto has no 0x"" but takes a string.
func (e *encoder) bytes(data []byte) {
	if len(data) == 0 {
		e.WriteString(`""`)
		return
	}
	const hex = "0123456789abcdef"
	e.WriteString(`0x"`)
	for _, b := range data {
		e.WriteByte(hex[b>>4])
		e.WriteByte(hex[b&15])
	}
	e.WriteByte('"')
}

func (e *encoder) strings(list []string) {
	e.WriteByte('[')
	for i, s := range list {
		if i > 0 {
			e.WriteString(", ")
		}
		e.quote(s)
	}
	e.WriteByte(']')
}

func (e *encoder) service(s Service) {
	e.WriteString("(name = ")
	e.quote(s.Name)
	switch {
	case s.Worker != nil:
		e.WriteString(", worker = ")
		e.worker(s.Worker)
	case s.External != nil:
		e.WriteString(", external = (address = ")
		e.quote(s.External.Address)
		e.WriteString(", http = ")
		e.http(s.External.HTTP)
		e.WriteByte(')')
	case s.Disk != nil:
		e.WriteString(", disk = (path = ")
		e.quote(s.Disk.Path)
		fmt.Fprintf(e, ", writable = %t)", s.Disk.Writable)
	}
	e.WriteByte(')')
}

func (e *encoder) worker(w *Worker) {
	e.WriteByte('(')
	if w.Script != "" {
		e.WriteString("serviceWorkerScript = ")
		e.code([]byte(w.Script))
	} else {
		e.WriteString("modules = [")
		for _, m := range w.Modules {
			e.WriteString("\n      (name = ")
			e.quote(m.Name)
			e.WriteString(", " + string(m.Kind) + " = ")
			if m.Kind == Data || m.Kind == Wasm {
				e.privateBytes(m.Data)
			} else {
				e.code(m.Data)
			}
			e.WriteString("),")
		}
		e.WriteByte(']')
	}
	e.WriteString(",\n      compatibilityDate = ")
	e.quote(w.CompatibilityDate)
	e.WriteString(", compatibilityFlags = ")
	e.strings(w.CompatibilityFlags)
	if len(w.Bindings) > 0 {
		e.WriteString(",\n      bindings = ")
		e.bindings(w.Bindings)
	}
	if w.GlobalOutbound != "" {
		e.WriteString(",\n      globalOutbound = ")
		e.quote(w.GlobalOutbound)
	}
	if w.CacheAPI != "" {
		e.WriteString(",\n      cacheApiOutbound = ")
		e.quote(w.CacheAPI)
	}
	if len(w.Tails) > 0 {
		e.WriteString(",\n      tails = ")
		e.strings(w.Tails)
	}
	if len(w.Classes) > 0 {
		e.WriteString(",\n      durableObjectNamespaces = [")
		for _, c := range w.Classes {
			e.WriteString("(className = ")
			e.quote(c.ClassName)
			e.WriteString(", uniqueKey = ")
			e.quote(c.UniqueKey)
			fmt.Fprintf(e, ", enableSql = %t), ", c.SQL)
		}
		e.WriteString("],\n      durableObjectStorage = (")
		if w.Storage == "" {
			e.WriteString("inMemory = void")
		} else {
			e.WriteString("localDisk = ")
			e.quote(w.Storage)
		}
		e.WriteByte(')')
	}
	e.WriteByte(')')
}

func (e *encoder) bindings(list []Binding) {
	e.WriteByte('[')
	for _, b := range list {
		e.WriteString("\n        (name = ")
		e.quote(b.Name)
		e.WriteString(", ")
		b.Value.encode(e)
		e.WriteString("),")
	}
	e.WriteByte(']')
}

func (e *encoder) designator(d ServiceDesignator) {
	if d.Entrypoint == "" && d.Props == "" {
		e.quote(d.Name)
		return
	}
	e.WriteString("(name = ")
	e.quote(d.Name)
	if d.Entrypoint != "" {
		e.WriteString(", entrypoint = ")
		e.quote(d.Entrypoint)
	}
	if d.Props != "" {
		e.WriteString(", props = (json = ")
		e.private(d.Props)
		e.WriteByte(')')
	}
	e.WriteByte(')')
}

func (e *encoder) http(o HTTPOptions) {
	e.WriteByte('(')
	sep := ""
	field := func(name, value string) {
		if value == "" {
			return
		}
		e.WriteString(sep + name + " = ")
		e.quote(value)
		sep = ", "
	}
	field("forwardedProtoHeader", o.ForwardedProto)
	field("cfBlobHeader", o.CfBlob)
	field("capnpConnectHost", o.CapnpConnectHost)
	if len(o.InjectRequestHeaders) > 0 {
		e.WriteString(sep + "injectRequestHeaders = [")
		for _, h := range o.InjectRequestHeaders {
			e.WriteString("(name = ")
			e.quote(h.Name)
			e.WriteString(", value = ")
			e.private(h.Value)
			e.WriteString("), ")
		}
		e.WriteByte(']')
	}
	e.WriteByte(')')
}

func (v TextValue) encode(e *encoder) { e.WriteString("text = "); e.private(string(v)) }
func (v JSONValue) encode(e *encoder) { e.WriteString("json = "); e.private(string(v)) }
func (v DataValue) encode(e *encoder) { e.WriteString("data = "); e.privateBytes(v) }
func (v WasmValue) encode(e *encoder) { e.WriteString("wasmModule = "); e.privateBytes(v) }
func (v KVValue) encode(e *encoder)   { e.WriteString("kvNamespace = "); e.quote(string(v)) }
func (v R2Value) encode(e *encoder)   { e.WriteString("r2Bucket = "); e.quote(string(v)) }
func (v QueueValue) encode(e *encoder) {
	e.WriteString("queue = ")
	e.quote(string(v))
}

func (v AnalyticsValue) encode(e *encoder) {
	e.WriteString("analyticsEngine = ")
	e.quote(string(v))
}

func (v ServiceValue) encode(e *encoder) {
	e.WriteString("service = ")
	e.designator(ServiceDesignator(v))
}

func (v DurableValue) encode(e *encoder) {
	e.WriteString("durableObjectNamespace = (className = ")
	e.quote(v.ClassName)
	if v.Service != "" {
		e.WriteString(", serviceName = ")
		e.quote(v.Service)
	}
	e.WriteByte(')')
}

func (v WrappedValue) encode(e *encoder) {
	e.WriteString("wrapped = (moduleName = ")
	e.quote(v.Module)
	if v.Entrypoint != "" {
		e.WriteString(", entrypoint = ")
		e.quote(v.Entrypoint)
	}
	e.WriteString(", innerBindings = ")
	e.bindings(v.Inner)
	e.WriteByte(')')
}
