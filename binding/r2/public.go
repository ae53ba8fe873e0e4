package r2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/selvage-edge/selvage/fault"
)

// public serves the objects of a bucket to everybody, at one of its hosts. It reads
// only. The path is the key; there is no list and no index page, as on Cloudflare.
//
// Source: https://developers.cloudflare.com/r2/buckets/public-buckets/
type public struct {
	b       *Bucket
	enabled bool
}

var notPublic = &fault.Fault{Status: http.StatusNotFound, Title: "Object not found", Message: "This object does not exist or is not publicly accessible at this URL."}

// serve answers a request.
func (p public) serve(w http.ResponseWriter, r *http.Request) error {
	if !p.enabled {
		return notPublic.With(notPublic.Message, errors.New("the host is disabled"))
	}
	h := w.Header()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		p.b.CORS().Allow(r, h)
	case http.MethodOptions:
		if !p.b.CORS().Preflight(r, h) {
			return fault.AccessDenied.With("This CORS request is not allowed.", nil)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		return &fault.Fault{Status: http.StatusMethodNotAllowed, Title: "Method not allowed", Message: "A public bucket can only be read."}
	}
	err := p.read(w, r, strings.TrimPrefix(r.URL.Path, "/"))
	switch {
	case errors.Is(err, ErrNoSuchKey), errors.Is(err, ErrObjectName), errors.Is(err, ErrNoSuchBucket):
		return notPublic.With(notPublic.Message, err)
	case err == nil:
		return nil
	}
	if refusal, ok := errors.AsType[*Error](err); ok && refusal.Status < 500 {
		return &fault.Fault{Status: refusal.Status, Title: http.StatusText(refusal.Status), Message: refusal.Text, Err: err}
	}
	return fault.Internal.With("", err)
}

// read answers with an object, or with what a condition or a range comes to.
func (p public) read(w http.ResponseWriter, r *http.Request, key string) error {
	// Whether a condition holds and a range fits is asked of one version of the
	// object, which must then be the one that is read.
	const tries = 4
	for range tries {
		object, reader, err := p.open(r, key)
		if err != nil {
			return err
		}
		again, err := p.answer(w, r, object, reader)
		if reader != nil {
			reader.Close()
		}
		if !again {
			return err
		}
	}
	return fmt.Errorf("read %q: it was replaced %d times meanwhile", key, tries)
}

// open finds an object, and opens it if it is likely to be read from its beginning.
func (p public) open(r *http.Request, key string) (*Object, *Reader, error) {
	if r.Method == http.MethodHead || r.Header.Get("Range") != "" {
		o, err := p.b.Head(r.Context(), key)
		return o, nil, err
	}
	reader, err := p.b.Get(r.Context(), key, GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	return &reader.Object, reader, nil
}

// answer answers with an object, or says that another version of it has to be asked.
func (p public) answer(w http.ResponseWriter, r *http.Request, o *Object, reader *Reader) (again bool, err error) {
	h := w.Header()
	if o.SSECKeyMD5 != "" {
		return false, errSSECNeeded
	}
	status := condition(r.Header, o)
	part := span{length: o.Size}
	if status == http.StatusOK {
		part, status = rangeOf(r.Header, o)
	}
	if status == http.StatusPreconditionFailed {
		return false, ErrPreconditionFailed
	}
	if status == http.StatusRequestedRangeNotSatisfiable {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", o.Size)) // which no error page would have
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintln(w, ErrInvalidRange.Text)
		return false, nil
	}
	reads := r.Method == http.MethodGet && status != http.StatusNotModified
	if reads && reader == nil {
		g := GetOptions{}
		if status == http.StatusPartialContent {
			g.Range = &Range{Offset: &part.offset, Length: &part.length}
		}
		reader, err = p.b.Get(r.Context(), o.Key, g)
		if err != nil {
			return false, err
		}
		defer reader.Close()
		if reader.Version != o.Version {
			return true, nil
		}
	}
	h.Set("Etag", `"`+o.ETag+`"`)
	h.Set("Last-Modified", o.Uploaded.Format(http.TimeFormat))
	o.HTTP.Headers(h)
	if status == http.StatusNotModified {
		for _, name := range []string{"Content-Type", "Content-Language", "Content-Disposition", "Content-Encoding"} {
			h.Del(name)
		}
		w.WriteHeader(status)
		return false, nil
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(part.length, 10))
	if status == http.StatusPartialContent {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.offset, part.offset+part.length-1, o.Size))
	}
	w.WriteHeader(status)
	if !reads {
		return false, nil
	}
	p.copy(r.Context(), w, reader)
	return false, nil
}

// copy sends the content. If it cannot be read to its end the response is broken
// off: the client must not take it for whole.
func (p public) copy(ctx context.Context, w io.Writer, reader *Reader) {
	if _, err := io.Copy(w, reader); err != nil {
		if ctx.Err() == nil {
			p.b.store.log.Error("an object could not be read to its end", "bucket", p.b.name, "key", reader.Key, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// condition is the status that the conditional headers of a request come to: 200 if
// they hold or there are none.
//
// Source: https://httpwg.org/specs/rfc9110.html#precedence
func condition(h http.Header, o *Object) int {
	seconds := func(name string) (t time.Time, ok bool) {
		t, err := http.ParseTime(h.Get(name))
		return t, err == nil
	}
	uploaded := o.Uploaded.Truncate(time.Second)
	if h.Get("If-Match") != "" {
		if !anyTag(h.Values("If-Match"), o.ETag, false) {
			return http.StatusPreconditionFailed
		}
	} else if t, ok := seconds("If-Unmodified-Since"); ok && uploaded.After(t) {
		return http.StatusPreconditionFailed
	}
	if h.Get("If-None-Match") != "" {
		if anyTag(h.Values("If-None-Match"), o.ETag, true) {
			return http.StatusNotModified
		}
	} else if t, ok := seconds("If-Modified-Since"); ok && !uploaded.After(t) {
		return http.StatusNotModified
	}
	return http.StatusOK
}

// anyTag reports whether lists of entity tags have one. Weak tags count only if weak
// is set.
func anyTag(lists []string, etag string, weak bool) bool {
	for _, list := range lists {
		for tag := range strings.SplitSeq(list, ",") {
			tag = strings.TrimSpace(tag)
			if weak {
				tag = strings.TrimPrefix(tag, "W/")
			}
			if tag == "*" || tag == `"`+etag+`"` {
				return true
			}
		}
	}
	return false
}

// span is what is read of an object.
type span struct{ offset, length int64 }

// rangeOf is what a request asks for, and the status of the answer: 200 for the whole
// object, 206 or 416. Of several ranges nobody gets any but the whole.
func rangeOf(h http.Header, o *Object) (span, int) {
	whole := span{length: o.Size}
	header := h.Get("Range")
	if header == "" || !ifRange(h.Get("If-Range"), o) {
		return whole, http.StatusOK
	}
	r := ParseRange(header, o.Size)
	if r == nil {
		if unsatisfiable(header, o.Size) {
			return span{}, http.StatusRequestedRangeNotSatisfiable
		}
		return whole, http.StatusOK
	}
	offset, length, err := r.within(o.Size)
	if err != nil {
		return span{}, http.StatusRequestedRangeNotSatisfiable
	}
	return span{offset, length}, http.StatusPartialContent
}

// ifRange reports whether the range counts under a header If-Range.
func ifRange(header string, o *Object) bool {
	if header == "" {
		return true
	}
	if t, err := http.ParseTime(header); err == nil {
		return t.Equal(o.Uploaded.Truncate(time.Second))
	}
	return header == `"`+o.ETag+`"`
}

// unsatisfiable reports whether a header Range is one range, written as it should be,
// of which a content of that size has nothing.
func unsatisfiable(header string, size int64) bool {
	// Any range fits a content that is large enough, a suffix of nothing aside.
	const large = 1<<63 - 1
	spec, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(header, " ", "")), "bytes=")
	if !ok {
		return false
	}
	if suffix, ok := strings.CutPrefix(spec, "-"); ok {
		n, err := strconv.ParseInt(suffix, 10, 64)
		return err == nil && (n == 0 || size == 0)
	}
	return ParseRange(header, size) == nil && ParseRange(header, large) != nil
}
