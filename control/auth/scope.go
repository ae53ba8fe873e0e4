package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Resources are what a scope can be about, beside the Scope of the products'
// routes: the control plane's own, and those of products to come.
var Resources = []string{
	"account",         // the account itself, its tokens and its audit log
	"workers_scripts", // Workers, versions, deployments, secrets, schedules
	"workers_routes",  // routes and custom domains
	"workers_tail",    // live logs
	"workers_kv",
	"d1",
	"r2",
	"queues",
	"workflows",
	"hyperdrive",
	"vectorize",
	"secrets_store",
	"pages",
	"access",
	"zone",
}

// CheckScope says what is wrong with a scope. A scope is "*" (everything),
// "RESOURCE:edit" (which includes reading) or "RESOURCE:read"; the resource may
// be "*". more are resources beside those of Resources.
func CheckScope(scope string, more ...string) error {
	if scope == "*" {
		return nil
	}
	resource, level, _ := strings.Cut(scope, ":")
	if level != "read" && level != "edit" {
		return fmt.Errorf("scope %q must end in :read or :edit, or be *", scope)
	}
	all := slices.Concat(Resources, more)
	if resource != "*" && !slices.Contains(all, resource) {
		return fmt.Errorf("scope %q: there is no resource %q; there are %s", scope, resource, strings.Join(all, ", "))
	}
	return nil
}

// Allows reports whether the token's scopes cover an operation on resource. An
// empty resource needs a valid token only.
func (id Identity) Allows(resource string, edit bool) bool {
	if resource == "" {
		return true
	}
	for _, scope := range id.Scopes {
		r, level, _ := strings.Cut(scope, ":")
		if (r == "*" || r == resource) && (scope == "*" || level == "edit" || !edit) {
			return true
		}
	}
	return false
}
