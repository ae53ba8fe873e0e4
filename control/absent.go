package control

import (
	"net/http"
	"strings"

	"github.com/selvage-edge/selvage/api"
)

// absent are the parts of Cloudflare's API, by what follows the account in
// their paths, that belong to products which do not run here yet. Clients ask
// for them before they upload a Worker that needs one, so that the answer must
// say more than that there is no such path. An entry goes the day its product
// comes.
var absent = []struct{ path, product string }{
	{"ai", "Workers AI"},
	{"ai-search", "AI Search"},
	{"browser-rendering", "Browser Rendering"},
	{"connectivity", "Workers VPC"},
	{"containers", "Containers"},
	{"email", "Email Routing"},
	{"event_notifications", "R2"},
	{"event_subscriptions", "Queues"},
	{"hyperdrive", "Hyperdrive"},
	{"mtls_certificates", "mTLS certificates"},
	{"pages", "Pages"},
	{"pipelines", "Pipelines"},
	{"queues", "Queues"},
	{"r2", "R2"},
	{"secrets_store", "Secrets Store"},
	{"vectorize", "Vectorize"},
	{"workers/dispatch", "Workers for Platforms"},
	{"workflows", "Workflows"},
}

// noRoute is the answer to a path that no operation has.
func noRoute(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/accounts/"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		for _, a := range absent {
			if strings.HasPrefix(rest+"/", a.path+"/") {
				api.WriteError(w, api.Errorf(http.StatusNotFound, 7003, "%s does not run on this version of Selvage yet, so there is no %s %s; remove what needs it from the Worker's configuration", a.product, r.Method, r.URL.Path))
				return
			}
		}
	}
	api.WriteError(w, api.Errorf(http.StatusNotFound, 7003, "Could not route to %s %s, perhaps your object identifier is invalid?", r.Method, r.URL.Path))
}
