package settings

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/selvage-edge/selvage/spelling"
)

// Problem is one thing that is wrong with a file, or with what overrides it.
type Problem struct {
	// File is the path as it was given, or "--flag" or "SELVAGE_VARIABLE".
	File string
	// Line counts from 1; 0 means that no line is to blame.
	Line int
	// Key is dotted: "limits.body".
	Key string
	// Message says what is wrong and what would be right.
	Message string
}

// Error is "file:line: key: message".
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	return b.String() + p.Message
}

// Problems are all that is wrong.
type Problems []Problem

// Error is one problem to a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Read parses the file at path.
func Read(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse reads data; path is for messages. The error is Problems.
func Parse(path string, data []byte) (*File, error) {
	f := &File{path: path, from: map[string]string{}}
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(f)
	var missing *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case err == nil:
	case errors.As(err, &missing):
		var ps Problems
		for _, e := range missing.Errors {
			line, _ := e.Position()
			ps = append(ps, Problem{File: path, Line: line, Key: strings.Join(e.Key(), "."), Message: unknown(e.Key())})
		}
		return nil, ps
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		return nil, Problems{{File: path, Line: line, Key: strings.Join(wrong.Key(), "."), Message: mistyped(strings.TrimPrefix(wrong.Error(), "toml: "))}}
	default:
		return nil, Problems{{File: path, Message: strings.TrimPrefix(err.Error(), "toml: ")}}
	}
	f.lines = lines(data)
	return f, nil
}

var cannotDecode = regexp.MustCompile(`^cannot decode TOML ([a-z ]+) into (?:struct field \S+ of type |a Go value of type )?(\S+)$`)

// mistyped says a decoder's complaint about a value's type in words of TOML
// rather than of Go.
func mistyped(message string) string {
	m := cannotDecode.FindStringSubmatch(message)
	if m == nil {
		return message
	}
	want := map[string]string{"string": "a string in quotes", "bool": "true or false", "int": "a whole number", "[]string": "a list of strings in quotes"}[m[2]]
	if want == "" {
		want = "of another kind"
		if strings.HasPrefix(m[2], "map[") || strings.Contains(m[2], ".") {
			want = "a table"
		}
	}
	return fmt.Sprintf("the value must be %s; this is a TOML %s", want, m[1])
}

// Override notes that a key's value comes from elsewhere: "--listen".
func (f *File) Override(key, from string) {
	if f.from == nil {
		f.from = map[string]string{}
	}
	f.from[key] = from
}

// problem is about the value of a key. Of an element of a list the line is the
// list's, unless it is a table of its own.
func (f *File) problem(key, format string, args ...any) Problem {
	p := Problem{File: f.path, Line: f.line(key), Key: key, Message: fmt.Sprintf(format, args...)}
	if from := f.from[key]; from != "" {
		p.File, p.Line, p.Key = from, 0, ""
	}
	return p
}

// line is that of a key, or of what it is in: "rules.firewall[2].expression".
func (f *File) line(key string) int {
	for key != "" {
		if line, ok := f.lines[key]; ok {
			return line
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return 0
}

// lines finds the line of each key. Tables of a list are counted from 1: the
// second [[a.b]] has the keys of "a.b[2]", too. The decoder has accepted data
// before.
func lines(data []byte) map[string]int {
	found := map[string]int{}
	counts := map[string]int{}
	counted := func(parts []string) string {
		path, plain := "", ""
		for i, part := range parts {
			if i > 0 {
				path, plain = path+".", plain+"."
			}
			path, plain = path+part, plain+part
			if n := counts[plain]; n > 0 {
				path += fmt.Sprintf("[%d]", n)
			}
		}
		return path
	}
	var p unstable.Parser
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		var parts []string
		line := 0
		for keys := e.Key(); keys.Next(); {
			n := keys.Node()
			parts = append(parts, string(n.Data))
			if line == 0 {
				line = 1 + bytes.Count(data[:n.Raw.Offset], []byte("\n"))
			}
		}
		switch e.Kind {
		case unstable.ArrayTable:
			counts[strings.Join(parts, ".")]++
			table = parts
		case unstable.Table:
			table = parts
		case unstable.KeyValue:
			parts = slices.Concat(table, parts)
		default:
			continue
		}
		for _, key := range []string{strings.Join(parts, "."), counted(parts)} {
			if _, ok := found[key]; !ok {
				found[key] = line
			}
		}
	}
	return found
}

// known are the keys by the table they are in; "" is the top, * any name.
var known = map[string][]string{
	"":                   {"data", "workers_domain", "zones", "trusted_proxies", "drain_timeout", "origins", "url_normalization", "edge", "http", "https", "admin", "s3", "egress", "email", "r2", "limits", "quotas", "log", "rules", "lists"},
	"edge":               {"compression"},
	"http":               {"listen"},
	"https":              {"listen", "certificates"},
	"https.certificates": {"cert", "key"},
	"admin":              {"listen", "cert", "key", "insecure"},
	"s3":                 {"listen", "cert", "key", "hosts"},
	"egress":             {"allow_private"},
	"email":              {"relay", "tls", "username", "password_file", "domains", "timeout"},
	"r2":                 {"upstreams"},
	"r2.upstreams.*":     {"endpoint", "bucket", "region", "path_style", "access_key_id", "secret_file", "secret_env", "timeout"},
	"url_normalization":  {"type", "scope"},
	"limits":             {"body", "wall_time", "cpu", "connections", "connections_per_client", "body_timeout", "memory", "cells", "cells_memory", "call_memory", "upload_memory"},
	"quotas":             {"d1_database", "d1", "kv", "kv_namespace", "r2", "durable_object", "worker_durable_objects", "durable_object_history", "queue", "analytics_engine", "workflows", "code", "worker_code"},
	"log":                {"level", "format", "requests", "workers"},
	"lists.*":            {"kind", "items", "file"},
	"rules":              {"redirects", "url_rewrites", "firewall", "bulk_redirects", "bulk_redirects_file", "request_headers", "response_headers"},

	"rules.redirects":         {"description", "expression", "enabled", "to", "to_expression", "status", "preserve_query_string"},
	"rules.url_rewrites":      {"description", "expression", "enabled", "path", "path_expression", "query", "query_expression"},
	"rules.firewall":          {"description", "expression", "enabled", "action", "response"},
	"rules.firewall.response": {"status", "content_type", "content"},
	"rules.bulk_redirects":    {"from", "to", "status", "preserve_query_string", "include_subdomains", "subpath_matching", "preserve_path_suffix"},
	"rules.request_headers":   {"description", "expression", "enabled", "set", "set_expression", "add", "add_expression", "remove"},
	"rules.response_headers":  {"description", "expression", "enabled", "set", "set_expression", "add", "add_expression", "remove"},
}

// unknown says that a key does not exist and which one may have been meant.
func unknown(key []string) string {
	if len(key) == 0 {
		return "there is no such key"
	}
	table, name := strings.Join(key[:len(key)-1], "."), key[len(key)-1]
	candidates := known[table]
	if len(key) > 2 && candidates == nil { // a table of any name
		candidates = known[strings.Join(key[:len(key)-2], ".")+".*"]
	}
	best := spelling.Nearest(name, len(name)/2, candidates)
	switch {
	case best != "":
		return fmt.Sprintf("there is no such key; did you mean %q?", best)
	case len(candidates) > 0:
		return "there is no such key; there are " + strings.Join(candidates, ", ")
	}
	return "there is no such key"
}
