package rules

import (
	"net/http"
	"strings"
)

// Field is something of a request that expressions can ask for.
type Field struct {
	Name string
	Type Type
	// Unknown says why this server cannot know it; empty for all others.
	Unknown string

	only   where
	source any // a getter of the type
	// headerKeys: the keys of the map are names of headers.
	headerKeys bool
	body       bool
}

// Phases are where it can be used; zero is everywhere.
func (f *Field) Phases() Phase { return f.only.phases }

var (
	text1    = Type{Kind: String}
	texts    = Type{Kind: String, Arrays: 1}
	textses  = Type{Kind: String, Arrays: 2}
	textMap  = Type{Kind: String, Arrays: 1, Map: true}
	integer  = Type{Kind: Int}
	boolean  = Type{Kind: Bool}
	addressT = Type{Kind: IP}
)

// Fields lists every field, those that this server cannot know included.
//
// Source: https://developers.cloudflare.com/ruleset-engine/rules-language/fields/reference/
func Fields() []Field { return fields }

var fields = append(known(), unknown()...)

var fieldByName = func() map[string]*Field {
	m := map[string]*Field{}
	for i := range fields {
		m[fields[i].Name] = &fields[i]
	}
	return m
}()

func known() []Field {
	onlyResponse := where{phases: CustomErrors | ResponseHeaders | RateLimit}
	onlyError := where{phases: CustomErrors | ResponseHeaders}
	str := func(name string, get func(c *Context) string) Field {
		return Field{Name: name, Type: text1, source: getter[string](func(c *Context) (string, bool) { return get(c), true })}
	}
	num := func(name string, get func(c *Context) int64) Field {
		return Field{Name: name, Type: integer, source: getter[int64](func(c *Context) (int64, bool) { return get(c), true })}
	}
	flag := func(name string, get func(c *Context) bool) Field {
		return Field{Name: name, Type: boolean, source: getter[bool](func(c *Context) (bool, bool) { return get(c), true })}
	}
	list := func(name string, get func(c *Context) []string) Field {
		return Field{Name: name, Type: texts, source: getter[[]string](func(c *Context) ([]string, bool) { return get(c), true })}
	}
	lists := func(name string, get func(c *Context) [][]string) Field {
		return Field{Name: name, Type: textses, source: getter[[][]string](func(c *Context) ([][]string, bool) { return get(c), true })}
	}
	dict := func(name string, get func(c *Context) multimap) Field {
		return Field{Name: name, Type: textMap, source: getter[multimap](func(c *Context) (multimap, bool) { return get(c), true })}
	}
	in := func(w where, f Field) Field { f.only = w; return f }
	hdr := func(f Field) Field { f.headerKeys = true; return f }
	body := func(f Field) Field { f.body = true; return f }
	first := func(name, header string) Field {
		return str(name, func(c *Context) string { return c.header(header) })
	}
	none := func(c *Context) string { return "" }
	no := func(c *Context) bool { return false }
	all := []Field{
		str("http.cookie", func(c *Context) string { return c.joined(c.Header["Cookie"], "; ") }),
		str("http.host", func(c *Context) string { return c.Host }),
		first("http.referer", "Referer"),
		first("http.user_agent", "User-Agent"),
		str("http.x_forwarded_for", func(c *Context) string { return c.joined(c.Header["X-Forwarded-For"], ", ") }),
		str("http.request.full_uri", (*Context).getFullURI),
		str("http.request.method", func(c *Context) string { return c.Method }),
		str("http.request.version", func(c *Context) string { return c.Version }),
		num("http.request.timestamp.sec", func(c *Context) int64 { return c.Start.Unix() }),
		num("http.request.timestamp.msec", func(c *Context) int64 { return int64(c.Start.Nanosecond()) / 1e6 }),
		str("http.request.uri", (*Context).getURI),
		str("http.request.uri.path", func(c *Context) string { return c.Path }),
		str("http.request.uri.path.extension", func(c *Context) string { return lower(c, extension(c.Path)) }),
		str("http.request.uri.query", func(c *Context) string { return c.Query }),
		dict("http.request.uri.args", func(c *Context) multimap { return c.getArgs() }),
		list("http.request.uri.args.names", func(c *Context) []string { return c.getArgs().names }),
		list("http.request.uri.args.values", func(c *Context) []string { return c.getArgs().values }),
		str("raw.http.request.full_uri", (*Context).getRawFullURI),
		str("raw.http.request.uri", (*Context).getRawURI),
		str("raw.http.request.uri.path", func(c *Context) string { return c.RawPath }),
		str("raw.http.request.uri.path.extension", func(c *Context) string { return extension(c.RawPath) }),
		str("raw.http.request.uri.query", func(c *Context) string { return c.RawQuery }),
		dict("raw.http.request.uri.args", func(c *Context) multimap { return c.getRawArgs() }),
		list("raw.http.request.uri.args.names", func(c *Context) []string { return c.getRawArgs().names }),
		list("raw.http.request.uri.args.values", func(c *Context) []string { return c.getRawArgs().values }),
		dict("http.request.cookies", func(c *Context) multimap { return c.getCookies() }),
		hdr(dict("http.request.headers", func(c *Context) multimap { return requestHeaders(c.Header) })),
		list("http.request.headers.names", func(c *Context) []string { return c.getHeaders().names }),
		list("http.request.headers.values", func(c *Context) []string { return c.getHeaders().values }),
		flag("http.request.headers.truncated", no),
		in(where{phases: transform}, list("http.request.accepted_languages", (*Context).getLanguages)),

		body(str("http.request.body.raw", func(c *Context) string { return text(c.beginning().Data) })),
		body(flag("http.request.body.truncated", func(c *Context) bool { return c.beginning().Truncated })),
		body(num("http.request.body.size", func(c *Context) int64 { return c.beginning().Size })),
		body(str("http.request.body.mime", func(c *Context) string { return sniff(c.beginning().Data) })),
		body(dict("http.request.body.form", func(c *Context) multimap { return c.getForm() })),
		body(list("http.request.body.form.names", func(c *Context) []string { return c.getForm().names })),
		body(list("http.request.body.form.values", func(c *Context) []string { return c.getForm().values })),
		body(dict("http.request.body.multipart", func(c *Context) multimap { return &c.getParts().fields })),
		body(lists("http.request.body.multipart.names", func(c *Context) [][]string { return c.getParts().names })),
		body(list("http.request.body.multipart.values", func(c *Context) []string { return c.getParts().values })),
		body(lists("http.request.body.multipart.content_types", func(c *Context) [][]string { return c.getParts().contentTypes })),
		body(lists("http.request.body.multipart.content_dispositions", func(c *Context) [][]string { return c.getParts().dispositions })),
		body(lists("http.request.body.multipart.content_transfer_encodings", func(c *Context) [][]string { return c.getParts().encodings })),
		body(lists("http.request.body.multipart.filenames", func(c *Context) [][]string { return c.getParts().filenames })),

		{Name: "ip.src", Type: addressT, source: getter[address](func(c *Context) (address, bool) { return c.ClientIP, c.ClientIP.IsValid() })},
		flag("ssl", func(c *Context) bool { return c.Scheme == "https" }),
		{Name: "cf.edge.server_ip", Type: addressT, source: getter[address](func(c *Context) (address, bool) { return c.ServerIP, c.ServerIP.IsValid() })},
		num("cf.edge.server_port", func(c *Context) int64 { return int64(c.ServerPort) }),
		flag("cf.edge.client_tcp", func(c *Context) bool { return true }),
		str("cf.ray_id", func(c *Context) string { return c.Ray }),
		str("cf.random_seed", (*Context).randomSeed),
		num("cf.threat_score", func(c *Context) int64 { return 0 }),
		str("cf.tls_version", func(c *Context) string { return c.TLSVersion }),
		str("cf.tls_cipher", func(c *Context) string { return c.TLSCipher }),
		str("cf.worker.upstream_zone", func(c *Context) string { return c.UpstreamZone }),

		in(onlyResponse, num("http.response.code", func(c *Context) int64 { return int64(c.Status) })),
		hdr(in(onlyResponse, dict("http.response.headers", func(c *Context) multimap { return headers(c.ResponseHeader) }))),
		in(onlyResponse, list("http.response.headers.names", func(c *Context) []string { return c.getResponse().names })),
		in(onlyResponse, list("http.response.headers.values", func(c *Context) []string { return c.getResponse().values })),
		in(onlyResponse, str("http.response.content_type.media_type", (*Context).mediaType)),
		hdr(in(onlyResponse, dict("raw.http.response.headers", func(c *Context) multimap { return headers(c.RawResponseHeader) }))),
		in(onlyResponse, list("raw.http.response.headers.names", func(c *Context) []string { return c.getRawResponse().names })),
		in(onlyResponse, list("raw.http.response.headers.values", func(c *Context) []string { return c.getRawResponse().values })),
		in(onlyError, num("cf.response.1xxx_code", func(c *Context) int64 { return int64(c.ErrorCode) })),
		in(onlyError, str("cf.response.error_type", func(c *Context) string { return c.ErrorType })),
	}
	// Without client certificates these have the values that Cloudflare documents
	// for connections without mTLS.
	for _, name := range []string{"cert_presented", "cert_verified", "cert_revoked", "cert_rfc9440_too_large", "cert_chain_rfc9440_too_large"} {
		all = append(all, flag("cf.tls_client_auth."+name, no))
	}
	for _, name := range []string{
		"cert_issuer_dn", "cert_subject_dn", "cert_issuer_dn_rfc2253", "cert_subject_dn_rfc2253", "cert_issuer_dn_legacy", "cert_subject_dn_legacy",
		"cert_serial", "cert_issuer_serial", "cert_fingerprint_sha256", "cert_fingerprint_sha1", "cert_not_before", "cert_not_after",
		"cert_ski", "cert_issuer_ski", "cert_rfc9440", "cert_chain_rfc9440",
	} {
		all = append(all, str("cf.tls_client_auth."+name, none))
	}
	return all
}

// header is the first value of a header in canonical form.
func (c *Context) header(name string) string {
	if v := c.Header[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (c *Context) joined(values []string, separator string) string {
	switch len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	}
	return joinTexts(c, values, separator)
}

func (c *Context) getURI() string {
	if c.uri == "" {
		c.uri = c.makeURI(c.Path, c.Query)
	}
	return c.uri
}

func (c *Context) getRawURI() string {
	if c.rawURI == "" {
		c.rawURI = c.makeURI(c.RawPath, c.RawQuery)
	}
	return c.rawURI
}

func (c *Context) makeURI(path, query string) string {
	if query == "" {
		return path
	}
	return c.join(path, "?", query)
}

func (c *Context) getFullURI() string {
	if c.fullURI == "" {
		c.fullURI = c.join(c.Scheme, "://", c.Host, c.getURI())
	}
	return c.fullURI
}

func (c *Context) getRawFullURI() string {
	if c.rawFullURI == "" {
		c.rawFullURI = c.join(c.Scheme, "://", c.Host, c.getRawURI())
	}
	return c.rawFullURI
}

func (c *Context) getArgs() *pairs {
	if c.args == nil {
		c.args = c.pairsMemory[0].query(c.Query)
	}
	return c.args
}

func (c *Context) getRawArgs() *pairs {
	if c.rawArgs == nil {
		c.rawArgs = c.pairsMemory[1].query(c.RawQuery)
	}
	return c.rawArgs
}

func (c *Context) getCookies() *pairs {
	if c.cookies == nil {
		c.cookies = c.pairsMemory[2].cookie(c, c.Header["Cookie"])
	}
	return c.cookies
}

func (c *Context) getHeaders() *pairs {
	if c.headers == nil {
		c.headers = c.pairsMemory[3].header(c.Header, c.HostHeader)
	}
	return c.headers
}

func (c *Context) getResponse() *pairs {
	if c.response == nil {
		c.response = c.pairsMemory[4].header(c.ResponseHeader, "")
	}
	return c.response
}

func (c *Context) getRawResponse() *pairs {
	if c.rawResponse == nil {
		c.rawResponse = c.pairsMemory[5].header(c.RawResponseHeader, "")
	}
	return c.rawResponse
}

func (c *Context) getForm() *pairs {
	if c.form == nil {
		data := ""
		if mediaType(c, c.header("Content-Type")) == "application/x-www-form-urlencoded" {
			data = text(c.beginning().Data)
		}
		c.form = c.pairsMemory[6].query(data)
	}
	return c.form
}

// extension is what follows the last dot of the last segment, unless that dot
// begins the segment.
func extension(path string) string {
	segment := path[strings.LastIndexByte(path, '/')+1:]
	if i := strings.LastIndexByte(segment, '.'); i > 0 {
		return segment[i+1:]
	}
	return ""
}

func (c *Context) mediaType() string {
	if v := http.Header(c.ResponseHeader)["Content-Type"]; len(v) > 0 {
		return mediaType(c, v[0])
	}
	return ""
}

// mediaType is a Content-Type without parameters, in lower case.
func mediaType(c *Context, value string) string {
	value, _, _ = strings.Cut(value, ";")
	return lower(c, strings.TrimSpace(value))
}
