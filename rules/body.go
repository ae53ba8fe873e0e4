package rules

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"io"
	"mime"
	stdmultipart "mime/multipart"
	"net/http"
	"strconv"
	"strings"
)

// sniff tells what the bytes of a body are; empty if that is not known.
func sniff(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	t, _, _ := strings.Cut(http.DetectContentType(data), ";")
	if t == "application/octet-stream" {
		return ""
	}
	return t
}

// parts are those of a multipart body. A part without a name, or another of
// these, has an empty array there.
type parts struct {
	fields                                                  pairs
	names, contentTypes, dispositions, encodings, filenames [][]string
	values                                                  []string
}

// getParts takes a multipart body apart, as far as it is known and well formed.
func (c *Context) getParts() *parts {
	if c.parts != nil {
		return c.parts
	}
	c.parts = &parts{}
	kind, params, err := mime.ParseMediaType(c.header("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" {
		return c.parts
	}
	r := stdmultipart.NewReader(bytes.NewReader(c.beginning().Data), params["boundary"])
	for {
		part, err := r.NextRawPart()
		if err != nil {
			return c.parts
		}
		content, _ := io.ReadAll(part) // the body may be cut off
		p, value := c.parts, string(content)
		name, file := part.FormName(), part.FileName()
		p.values = append(p.values, value)
		p.names = append(p.names, some(name))
		p.filenames = append(p.filenames, some(file))
		p.contentTypes = append(p.contentTypes, part.Header["Content-Type"])
		p.dispositions = append(p.dispositions, part.Header["Content-Disposition"])
		p.encodings = append(p.encodings, part.Header["Content-Transfer-Encoding"])
		if name != "" {
			p.fields.add(name, value)
		}
	}
}

func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// getLanguages are the tags of Accept-Language, the most wanted first.
func (c *Context) getLanguages() []string {
	if c.languagesRead {
		return c.languages
	}
	c.languagesRead = true
	list := c.joined(c.Header["Accept-Language"], ",")
	n := strings.Count(list, ",") + 1
	tags, weights := c.strings.take(n)[:0], c.ints.take(n)[:0]
	for list != "" {
		var entry string
		entry, list, _ = strings.Cut(list, ",")
		tag, params, _ := strings.Cut(entry, ";")
		if tag = strings.TrimSpace(tag); tag == "" || tag == "*" {
			continue
		}
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			weight, _ = strconv.ParseFloat(q, 64)
		}
		tags, weights = append(tags, tag), append(weights, int64(weight*1000))
	}
	order := c.sorted(len(tags), func(i, j int64) int { return cmp.Compare(weights[j], weights[i]) })
	c.languages = c.strings.take(len(tags))
	for i, from := range order {
		c.languages[i] = tags[from]
	}
	return c.languages
}

// randomSeed is 16 random bytes, the same ones for all of a request's rules that
// this Context evaluates.
func (c *Context) randomSeed() string {
	if !c.seeded {
		c.seeded = true
		rand.Read(c.seed[:])
	}
	return text(c.seed[:])
}
