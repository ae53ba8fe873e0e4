package egress

import (
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/telemetry"
)

// ours are the headers in which a receiver reads who the client is and what
// is between them, which a Worker cannot set: an origin that trusts this server
// believes them. What Cloudflare lets a Worker set stays: X-Forwarded-For,
// X-Real-IP, True-Client-IP, and the other CF- headers, such as the credentials of
// Access.
//
// Source: https://developers.cloudflare.com/fundamentals/reference/http-headers/
var ours = []string{"Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4", "Cf-Ipcountry", "Cf-Visitor", "Cf-Ew-Via"}

// caller is the request that a subrequest belongs to, while that is being
// answered; nil if it is not known.
func (e *Egress) caller(h http.Header) *telemetry.Request {
	if e.options.Caller == nil {
		return nil
	}
	ray, _, _ := strings.Cut(h.Get("Cf-Ray"), "-")
	return e.options.Caller(ray)
}

// identify replaces those headers by what is so.
func identify(h http.Header, scheme string) {
	for _, name := range ours {
		delete(h, name)
	}
	if !isRay(h.Get("Cf-Ray")) {
		delete(h, "Cf-Ray")
	}
	h["Cf-Visitor"] = []string{`{"scheme":"` + scheme + `"}`}
}

// isRay reports whether s looks like a Ray ID, with or without its colo.
func isRay(s string) bool {
	id, colo, _ := strings.Cut(s, "-")
	return len(id) == 16 && strings.Trim(id, "0123456789abcdef") == "" &&
		len(colo) <= 3 && strings.Trim(colo, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
