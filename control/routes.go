package control

import (
	"net/http"

	"github.com/selvage-edge/selvage/api"
)

// routes lists every operation of this package.
func (s *server) routes() []api.Route {
	const (
		account  = "/accounts/{account}"
		script   = account + "/workers/scripts/{script}"
		service  = account + "/workers/services/{script}"
		env      = service + "/environments/{environment}"
		worker   = account + "/workers/workers/{script}"
		zone     = "/zones/{zone}"
		scripts  = "workers_scripts"
		routing  = "workers_routes"
		tailing  = "workers_tail"
		anyToken = ""
	)
	type handle = func(http.ResponseWriter, *http.Request) error
	read := func(method, path, scope string, h handle) api.Route {
		return api.Route{Method: method, Path: path, Scope: scope, Handle: h}
	}
	edit := func(method, path, scope string, h handle) api.Route {
		return api.Route{Method: method, Path: path, Scope: scope, Edit: true, Handle: h}
	}
	open := func(method, path string, h handle) api.Route {
		return api.Route{Method: method, Path: path, Open: true, Handle: h}
	}
	return []api.Route{
		// identity.go
		read("GET", "/user/tokens/verify", anyToken, s.verifyToken),
		read("GET", "/user", anyToken, s.getUser),
		read("GET", "/accounts", anyToken, s.listAccounts),
		read("GET", "/memberships", anyToken, s.listMemberships),
		read("GET", account, anyToken, s.getAccount),
		read("GET", account+"/tokens/verify", anyToken, s.verifyToken),
		read("GET", account+"/audit_logs", "account", s.listAudit),
		read("POST", "/graphql", anyToken, s.graphql),

		// accesskey.go
		read("GET", "/user/tokens", "account", s.listAccessKeys),
		edit("POST", "/user/tokens", "account", s.createAccessKey),
		read("GET", "/user/tokens/permission_groups", anyToken, s.listPermissionGroups),
		read("GET", "/user/tokens/{token}", "account", s.getAccessKey),
		edit("DELETE", "/user/tokens/{token}", "account", s.deleteAccessKey),
		read("GET", account+"/tokens", "account", s.listAccessKeys),
		edit("POST", account+"/tokens", "account", s.createAccessKey),
		read("GET", account+"/tokens/permission_groups", anyToken, s.listPermissionGroups),
		read("GET", account+"/tokens/{token}", "account", s.getAccessKey),
		edit("DELETE", account+"/tokens/{token}", "account", s.deleteAccessKey),

		// script.go
		read("GET", account+"/workers/scripts", scripts, s.listScripts),
		read("GET", script, scripts, s.getContent),
		edit("PUT", script, scripts, s.putScript),
		edit("DELETE", script, scripts, s.deleteScript),
		read("GET", service, scripts, s.getService),
		edit("DELETE", service, scripts, s.deleteScript),
		read("GET", env, scripts, s.getEnvironment),
		read("GET", worker, scripts, s.getWorker),
		read("GET", script+"/references", scripts, s.getReferences),
		read("GET", script+"/content", scripts, s.getContent),
		edit("PUT", script+"/content", scripts, s.putContent),
		read("GET", script+"/content/v2", scripts, s.getContent),
		read("GET", env+"/content", scripts, s.getContent),
		read("GET", env+"/content/v2", scripts, s.getContent),

		// version.go
		read("GET", script+"/versions", scripts, s.listVersions),
		edit("POST", script+"/versions", scripts, s.postVersion),
		read("GET", script+"/versions/{version}", scripts, s.getVersion),
		edit("PATCH", worker+"/versions/latest", scripts, s.patchLatest),

		// deployment.go
		read("GET", script+"/deployments", scripts, s.listDeployments),
		edit("POST", script+"/deployments", scripts, s.postDeployment),
		read("GET", script+"/deployments/{deployment}", scripts, s.getDeployment),

		// settings.go
		read("GET", script+"/settings", scripts, s.getSettings),
		edit("PATCH", script+"/settings", scripts, s.patchSettings),
		read("GET", env+"/settings", scripts, s.getSettings),
		read("GET", env+"/bindings", scripts, s.getBindings),
		read("GET", script+"/script-settings", scripts, s.getScriptSettings),
		edit("PATCH", script+"/script-settings", scripts, s.patchScriptSettings),
		read("GET", account+"/workers/account-settings", scripts, s.getAccountSettings),

		// secret.go
		read("GET", script+"/secrets", scripts, s.listSecrets),
		edit("PUT", script+"/secrets", scripts, s.putSecret),
		read("GET", script+"/secrets/{secret}", scripts, s.getSecret),
		edit("DELETE", script+"/secrets/{secret}", scripts, s.deleteSecret),
		edit("PATCH", script+"/secrets-bulk", scripts, s.patchSecrets),

		// asset.go
		edit("POST", script+"/assets-upload-session", scripts, s.startAssets),
		open("POST", account+"/workers/assets/upload", s.uploadAssets),
		open("POST", account+"/workers/assets/upload/{hash}", s.uploadAsset),

		// subdomain.go
		read("GET", account+"/workers/subdomain", scripts, s.getAccountSubdomain),
		edit("PUT", account+"/workers/subdomain", scripts, s.putAccountSubdomain),
		read("GET", script+"/subdomain", scripts, s.getSubdomain),
		edit("POST", script+"/subdomain", scripts, s.postSubdomain),
		edit("DELETE", script+"/subdomain", scripts, s.deleteSubdomain),
		read("GET", env+"/subdomain", scripts, s.getSubdomain),

		// schedule.go
		read("GET", script+"/schedules", scripts, s.getSchedules),
		edit("PUT", script+"/schedules", scripts, s.putSchedules),
		read("GET", script+"/schedules/runs", scripts, s.getRuns),

		// zone.go
		read("GET", "/zones", "zone", s.listZones),
		edit("POST", "/zones", "zone", s.postZone),
		read("GET", zone, "zone", s.getZone),
		edit("DELETE", zone, "zone", s.deleteZone),

		// normalization.go
		read("GET", zone+"/url_normalization", "zone", s.getNormalization),
		edit("PUT", zone+"/url_normalization", "zone", s.putNormalization),
		edit("DELETE", zone+"/url_normalization", "zone", s.deleteNormalization),

		// route.go
		read("GET", script+"/routes", routing, s.listScriptRoutes),
		edit("PUT", script+"/routes", routing, s.putScriptRoutes),
		read("GET", env+"/routes", routing, s.listScriptRoutes),
		read("GET", zone+"/workers/routes", routing, s.listZoneRoutes),
		edit("POST", zone+"/workers/routes", routing, s.postZoneRoute),
		read("GET", zone+"/workers/routes/{route}", routing, s.getZoneRoute),
		edit("PUT", zone+"/workers/routes/{route}", routing, s.putZoneRoute),
		edit("DELETE", zone+"/workers/routes/{route}", routing, s.deleteZoneRoute),

		// domain.go
		read("GET", account+"/workers/domains", routing, s.listDomains),
		edit("PUT", account+"/workers/domains", routing, s.putDomain),
		read("GET", account+"/workers/domains/records", routing, s.listDomains),
		read("GET", account+"/workers/domains/records/{domain}", routing, s.getDomain),
		read("GET", account+"/workers/domains/{domain}", routing, s.getDomain),
		edit("DELETE", account+"/workers/domains/{domain}", routing, s.deleteDomain),
		// A changeset only says what PUT records would do.
		read("POST", script+"/domains/changeset", routing, s.domainChangeset),
		edit("PUT", script+"/domains/records", routing, s.putScriptDomains),

		// durable.go
		read("GET", account+"/workers/durable_objects/namespaces", scripts, s.listNamespaces),
		read("GET", account+"/containers/applications", scripts, s.listContainers),

		// tail.go
		read("POST", script+"/tails", tailing, s.startTail),
		read("GET", script+"/tails", tailing, s.listTails),
		read("DELETE", script+"/tails/{tail}", tailing, s.stopTail),
		read("GET", account+"/workers/tails/by-consumer/{script}", scripts, s.listTailProducers),
		open("GET", "/tails/{tail}", s.serveTail),
	}
}
