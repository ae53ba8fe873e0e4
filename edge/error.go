package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/edge/http1"
	"github.com/selvage-edge/selvage/fault"
	"github.com/selvage-edge/selvage/hop"
)

// statusClientLeft is what access records show, after nginx, for a request
// whose client did not wait for the response. Nobody is sent it.
const statusClientLeft = 499

// fail answers a request that failed, and logs why. After part of a response
// was written it can only break it off.
func (e *Edge) fail(x *exchange, r *http.Request, err error) *fault.Fault {
	f := classify(err)
	left := r.Context().Err() != nil
	level := slog.LevelError
	if f.Status < 500 {
		level = slog.LevelDebug
	}
	if errors.Is(f, fault.ThrewException) {
		level = slog.LevelInfo // the exception itself is in the Worker's own log
	}
	if left {
		level = slog.LevelDebug
	}
	e.options.Logger.Log(r.Context(), level, "request failed", "ray", x.record.Ray, "method", r.Method, "host", r.Host,
		"path", r.URL.Path, "worker", x.to.worker, "status", f.Status, "err", err, "hint", f.Hint)
	if left && x.status == 0 {
		x.status = statusClientLeft
	}
	if x.status != 0 {
		panic(http.ErrAbortHandler)
	}
	x.failed = f
	e.render(x, r, f, x.record.Ray)
	return f
}

// classify finds the fault in err. Failures of the client's body, which only
// the hop notices, are the client's.
func classify(err error) *fault.Fault {
	var f *fault.Fault
	if errors.As(err, &f) {
		return f
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return fault.TooLarge.With(fmt.Sprintf("The limit is %d bytes.", large.Limit), err)
	}
	if errors.Is(err, http1.ErrStalled) {
		return &fault.Fault{Status: http.StatusRequestTimeout, Title: "Request timeout", Message: "The rest of the body did not come.", Err: err}
	}
	var broken *hop.Error
	if errors.As(err, &broken) && broken.Kind == hop.Client {
		return fault.BadRequest.With("The body is malformed or incomplete.", err)
	}
	return fault.From(err)
}

// page is what is shown of a fault. The names in JSON are those of Cloudflare's
// error responses (RFC 9457 and additions).
type page struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Code   int    `json:"error_code,omitempty"`
	Ray    string `json:"ray_id"`
	Hint   string `json:"hint,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

// render writes f: as HTML to those who ask for it, as JSON to those who ask
// for that, otherwise as text.
func (e *Edge) render(w http.ResponseWriter, r *http.Request, f *fault.Fault, ray string) {
	p := page{Type: "about:blank", Title: f.Title, Status: f.Status, Detail: f.Message, Code: f.Code, Ray: ray}
	if f.Code >= 1000 {
		p.Type = fmt.Sprintf("https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/error-%d/", f.Code)
	}
	if e.options.Dev {
		p.Hint = f.Hint
		if f.Err != nil {
			p.Cause = f.Err.Error()
		}
	}
	h := w.Header()
	for _, k := range []string{"Content-Encoding", "Content-Length", "Content-Range", "Content-Disposition", "Etag", "Last-Modified", "Trailer"} {
		h.Del(k) // of the response that was meant to be
	}
	h.Set("Cache-Control", "private, max-age=0, no-store, no-cache, must-revalidate")
	h.Set("X-Content-Type-Options", "nosniff")
	accept := strings.Join(r.Header["Accept"], ",")
	switch {
	case strings.Contains(accept, "text/html"):
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.WriteHeader(f.Status)
		errorPage.Execute(w, p)
	case strings.Contains(accept, "json"):
		h.Set("Content-Type", "application/json")
		if strings.Contains(accept, "application/problem+json") {
			h.Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(f.Status)
		json.NewEncoder(w).Encode(p)
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(f.Status)
		if p.Code != 0 {
			fmt.Fprintf(w, "error code: %d\n", p.Code)
		}
		for _, s := range []string{p.Title, p.Detail, p.Hint, p.Cause, "Ray ID: " + p.Ray} {
			if s != "" {
				fmt.Fprintln(w, s)
			}
		}
	}
}

var errorPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="robots" content="noindex, nofollow">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 4em auto; padding: 0 1em; color: #222; }
h1 { font-weight: 300; margin-bottom: 0; }
pre { background: #f4f4f4; padding: 1em; overflow: auto; }
footer { margin-top: 3em; color: #666; font-size: 14px; }
</style>
</head>
<body>
<h1>Error {{if .Code}}{{.Code}}{{else}}{{.Status}}{{end}}</h1>
<h2>{{.Title}}</h2>
{{with .Detail}}<p>{{.}}</p>
{{end}}{{with .Hint}}<p><strong>What to do:</strong> {{.}}</p>
{{end}}{{with .Cause}}<pre>{{.}}</pre>
{{end}}<footer>Ray ID: <code>{{.Ray}}</code></footer>
</body>
</html>
`))
