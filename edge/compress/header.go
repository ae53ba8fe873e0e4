package compress

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// types are the media types that Cloudflare compresses.
//
// Source: https://developers.cloudflare.com/speed/optimization/content/compression/
var types = words(`text/html text/richtext text/plain text/css text/x-script text/x-component text/x-java-source
	text/x-markdown application/javascript application/x-javascript text/javascript text/js image/x-icon
	image/vnd.microsoft.icon application/x-perl application/x-httpd-cgi text/xml application/xml application/rss+xml
	application/vnd.api+json application/x-protobuf application/json multipart/bag multipart/mixed application/xhtml+xml
	font/ttf font/otf font/x-woff image/svg+xml application/vnd.ms-fontobject application/ttf application/x-ttf
	application/otf application/x-otf application/truetype application/opentype application/x-opentype
	application/font-woff application/eot application/font application/font-sfnt application/wasm
	application/javascript-binast application/manifest+json application/ld+json application/graphql+json
	application/geo+json`)

func words(list string) map[string]bool {
	m := map[string]bool{}
	for _, word := range strings.Fields(list) {
		m[word] = true
	}
	return m
}

// listed reports whether Cloudflare compresses what has this Content-Type.
func listed(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = textproto.TrimString(media)
	return types[media] || types[strings.ToLower(media)]
}

// coded are the statuses of responses that are compressed.
func coded(status int) bool {
	return status == http.StatusOK || status == http.StatusForbidden || status == http.StatusNotFound
}

// has reports whether a header that is a list has this element.
func has(lines []string, element string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(part), element) {
				return true
			}
		}
	}
	return false
}

// first is the value of a header, empty if it has none.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// contentLength is that of the body, -1 if the handler has not said.
func contentLength(h http.Header) int64 {
	n, err := strconv.ParseInt(first(h, "Content-Length"), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// vary says that the response is another one for other clients.
func vary(h http.Header) {
	lines := h["Vary"]
	if has(lines, "*") || has(lines, "Accept-Encoding") {
		return
	}
	h["Vary"] = append(lines[:len(lines):len(lines)], "Accept-Encoding")
}

// recode makes the header that of the body in another coding. Its length is
// not known, and a strong ETag names the bytes of the original alone.
func recode(h http.Header, to coding) {
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges")
	delete(h, "Content-Encoding")
	if to != identity {
		h["Content-Encoding"] = []string{to.String()}
	}
	vary(h)
	if tag := first(h, "Etag"); strings.HasPrefix(tag, `"`) {
		h["Etag"] = []string{"W/" + tag}
	}
}

// weaken gives a 304 the ETag that the client has of the compressed response,
// or caches could not tell which one it is about (RFC 9111, 4.3.3).
func weaken(h http.Header, ifNoneMatch []string) {
	if tag := first(h, "Etag"); strings.HasPrefix(tag, `"`) && has(ifNoneMatch, "W/"+tag) && !has(ifNoneMatch, tag) {
		h["Etag"] = []string{"W/" + tag}
	}
}
