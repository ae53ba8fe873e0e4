package control

import (
	"net/http"
	"slices"
	"strings"

	"github.com/selvage-edge/selvage/api"
	"github.com/selvage-edge/selvage/binding"
)

// absent are the products without a kind of binding that do not run here, by
// what follows the account in their paths. Kinds tell of theirs; see
// binding.Absentee.
var absent = map[string]string{
	"ai-gateway":          "AI Gateway",
	"cfd_tunnel":          "Cloudflare Tunnel",
	"challenges/widgets":  "Turnstile",
	"cloudchamber":        "Containers",
	"containers":          "Containers",
	"email":               "Email Routing",
	"event_subscriptions": "Queues event subscriptions",
	"logpush":             "Logpush",
	"pages":               "Pages",
	"r2-catalog":          "R2 Data Catalog",
	"r2-sql":              "R2 SQL",
	"triggers":            "Event triggers",
}

// absentProduct names the product that a path below an account belongs to, if it
// does not run here. Clients ask for such paths before they upload a Worker that
// needs the product, so that the answer must say more than that there is no such
// path.
func (s *server) absentProduct(path string) string {
	under := func(p string) bool { return strings.HasPrefix(path+"/", p+"/") }
	for p, product := range absent {
		if under(p) {
			return product
		}
	}
	for _, k := range s.Kinds {
		if a, ok := k.(binding.Absentee); ok {
			if product, paths := a.Absent(); slices.ContainsFunc(paths, under) {
				return product
			}
		}
	}
	return ""
}

// noRoute is the answer to a path that no operation has.
func (s *server) noRoute(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/accounts/"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		if product := s.absentProduct(rest); product != "" {
			api.WriteError(w, api.Errorf(http.StatusNotFound, 7003, "%s does not run on this version of Selvage yet, so there is no %s %s; remove what needs it from the Worker's configuration", product, r.Method, r.URL.Path))
			return
		}
	}
	api.WriteError(w, api.Errorf(http.StatusNotFound, 7003, "Could not route to %s %s, perhaps your object identifier is invalid?", r.Method, r.URL.Path))
}
