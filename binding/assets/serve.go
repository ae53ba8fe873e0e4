package assets

import (
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/selvage-edge/selvage/config"
)

// answer is what the assets have to say to a request. Status zero: nothing,
// the Worker may be asked; 200 and 404 with a file, 404 and 405 without one,
// and redirects with a location.
type answer struct {
	status   int
	location string
	file     config.AssetFile
	hasFile  bool
}

// resolve finds the answer to a request for path p (as pathname gives it).
func (h *Handler) resolve(r *http.Request, p, notFound string) answer {
	if _, ok := h.inBase(decodePath(p)); !ok {
		return answer{}
	}
	rewritten := false
	if rule, to, ok := h.redirects.match(p); ok {
		if rule.status != http.StatusOK {
			return answer{status: rule.status, location: location(r, to)}
		}
		to, _, _ = splitURL(to)
		p, rewritten = normalizePath(to), true
	}
	nothing := answer{}
	if rewritten {
		nothing.status = http.StatusNotFound
	}
	decoded, ok := h.inBase(decodePath(p))
	if !ok {
		return nothing
	}
	status, fallback := http.StatusOK, false
	file, to, ok := h.match(decoded)
	if !ok {
		if file, fallback = h.fallback(decoded, notFound); !fallback {
			return nothing
		}
		if notFound == notFoundPage {
			status = http.StatusNotFound
		}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return answer{status: http.StatusMethodNotAllowed}
	}
	canonical := decodePath(p)
	switch {
	case to != "":
		canonical = h.public(to)
	case decoded != "/" || h.base == "/" || fallback:
	case h.html == dropTrailingSlash:
		canonical = strings.TrimSuffix(h.base, "/")
	default:
		canonical = h.base
	}
	if canonical = encodePath(canonical); canonical != p {
		return answer{status: http.StatusTemporaryRedirect, location: canonical + search(r)}
	}
	return answer{status: status, file: file, hasFile: true}
}

// write sends the answer, with the headers of _headers. If it can't send all of
// the file it panics with [http.ErrAbortHandler].
func (h *Handler) write(w http.ResponseWriter, r *http.Request, p string, a answer) {
	header := http.Header{}
	status := a.status
	if status == 0 {
		status = http.StatusNotFound
	}
	var body io.ReadSeekCloser
	if a.hasFile {
		header.Set("Etag", `"`+a.file.ETag+`"`)
		if a.file.ContentType != "" {
			header.Set("Content-Type", a.file.ContentType)
		}
		// An answer to one user, or a part, is none for a shared cache.
		if r.Header["Authorization"] == nil && r.Header["Range"] == nil {
			header.Set("Cache-Control", "public, max-age=0, must-revalidate")
		}
		header.Set("Cf-Cache-Status", "HIT")
		if matches(r.Header["If-None-Match"], a.file.ETag) {
			status, a.hasFile = http.StatusNotModified, false
		}
	}
	if a.hasFile && r.Method != http.MethodHead {
		var err error
		if data, ok := h.hot.find(a.file.Digest); ok {
			body = inMemory(data)
		} else if body, err = h.files.Open(a.file); err != nil {
			status, a.hasFile, header = http.StatusNotFound, false, http.Header{}
			if a.file.Digest != "" { // in a live directory it went away after it was found
				status = http.StatusInternalServerError
			}
		} else {
			defer body.Close()
		}
	}
	if a.location != "" {
		header.Set("Location", a.location)
	}
	if _, ok := h.inBase(decodePath(p)); ok {
		applyHeaders(h.headers, r, p, header)
	}
	out := w.Header()
	for name, values := range header {
		out[name] = values
	}
	if _, ok := header["Content-Type"]; !ok {
		out["Content-Type"] = nil // or net/http would guess one
	}
	if a.hasFile {
		out.Set("Content-Length", strconv.FormatInt(a.file.Size, 10))
	} else if status != http.StatusNotModified {
		out.Set("Content-Length", "0")
	}
	if body != nil && a.file.Digest != "" {
		if k := keeperOf(w); k != nil && k.Kept(status, a.file.Digest, a.file.Size) {
			return
		}
	}
	w.WriteHeader(status)
	if body != nil {
		// A failure here is the client's leaving, a file that shrank under our
		// hands, or damage: what was sent is not whole, in any coding.
		if err := h.hot.send(w, body, a.file.Digest, a.file.Size); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// keeper is an http.ResponseWriter of a stage that compresses bodies and keeps
// what it has made of those that do not change.
type keeper interface {
	// Kept answers with the file of this digest, in the form kept for this
	// client, and reports whether there was one. The header is w's; status and
	// size are those of the file as it is.
	Kept(status int, digest string, size int64) bool
}

// keeperOf finds the keeper that w is or is wrapped around, or nil.
func keeperOf(w http.ResponseWriter) keeper {
	for {
		switch t := w.(type) {
		case keeper:
			return t
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

// matches reports whether If-None-Match names the ETag, weakly compared.
func matches(values []string, etag string) bool {
	for _, v := range values {
		for tag := range strings.SplitSeq(v, ",") {
			tag = strings.TrimPrefix(textproto.TrimString(tag), "W/")
			if tag == "*" || tag == `"`+etag+`"` {
				return true
			}
		}
	}
	return false
}

// search is the query of the request with its question mark, as JavaScript's
// URL.search has it.
func search(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	return "?" + r.URL.RawQuery
}
