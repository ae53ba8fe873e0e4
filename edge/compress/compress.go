// Package compress is the stage of the edge that compresses responses for
// clients that accept it, with gzip, Brotli or Zstandard. The media types,
// statuses and sizes are those of Cloudflare's list.
//
// What a Worker or an origin has encoded itself (a Worker sets Content-Encoding,
// with encodeBody "automatic" or "manual") stays as it is for clients that take
// it, and is decoded for those that do not, from gzip and Brotli. Whoever says
// Cache-Control: no-transform gets neither.
//
// As on Cloudflare a Worker sees "br, gzip" as the request's Accept-Encoding,
// whatever the client said; that is in request.cf.clientAcceptEncoding.
//
// Source: https://developers.cloudflare.com/speed/optimization/content/compression/
package compress

import (
	"net/http"

	"github.com/selvage-edge/selvage/edge"
	"github.com/selvage-edge/selvage/telemetry"
)

// Options of a Stage. The zero value is a usable default.
type Options struct {
	// Memory bounds, in bytes, what encoders at work hold, and what decoders do.
	// When the one is in use, responses leave uncompressed; when the other is,
	// those that would have to be decoded are answered with 503. Default 128 MiB
	// for each: 145 encoders of Zstandard, 119 of gzip or 46 of Brotli.
	Memory int64
	// Kept bounds, in bytes, the compressed files that are kept. Default 64 MiB.
	Kept int64
}

// Stage compresses. It is safe for concurrent use.
type Stage struct {
	encoders encoders
	decoders budget
	kept     kept
}

var _ edge.Stage = (*Stage)(nil)

// New makes a Stage.
func New(o Options) *Stage {
	if o.Memory == 0 {
		o.Memory = 128 << 20
	}
	if o.Kept == 0 {
		o.Kept = 64 << 20
	}
	s := &Stage{}
	s.encoders.budget.left.Store(o.Memory)
	s.decoders.left.Store(o.Memory)
	s.kept.max = o.Kept
	return s
}

// workerAccepts is the Accept-Encoding that Cloudflare gives every Worker.
//
// Source: https://developers.cloudflare.com/fundamentals/reference/http-headers/#accept-encoding
const workerAccepts = "br, gzip"

// ServeHTTP implements edge.Stage. Requests of our own Workers stay in this
// process, where nothing is gained, and upgrades are not HTTP afterwards.
func (s *Stage) ServeHTTP(w http.ResponseWriter, r *http.Request, next edge.Handler) error {
	if r.Header["Upgrade"] != nil {
		return next.ServeHTTP(w, r)
	}
	if t := telemetry.RequestFrom(r.Context()); t != nil && t.Depth > 0 {
		return next.ServeHTTP(w, r)
	}
	x := &writer{ResponseWriter: w, stage: s, length: -1,
		head: r.Method == http.MethodHead, ranged: r.Header["Range"] != nil,
		accept: r.Header["Accept-Encoding"], ifNoneMatch: r.Header["If-None-Match"], seen: [1]string{workerAccepts},
	}
	r.Header["Accept-Encoding"] = x.seen[:]
	defer x.release()
	if err := next.ServeHTTP(x, r); err != nil {
		return err
	}
	return x.finish()
}
